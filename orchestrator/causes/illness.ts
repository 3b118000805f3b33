/** Who is ill together: held against nodes that did not change, of the same site first, then everywhere. */
import type { Cause } from './cause.ts';

export type Patient = {
  id: string;
  site: string;
  /** Has what the change brings. */
  changed: boolean;
  /** Ill now. */
  ill: boolean;
  /** Was ill before the change reached it; without a change: before the change began. */
  before: boolean;
};

/** Share of the nodes that did not change from which on their illness explains that of the others. */
const SHARE = 0.3;

/** @param suspect ill, and has the change */
export function illnessOf(suspect: Patient, all: readonly Patient[]): Cause {
  if (suspect.before) return { kind: 'ill-before' };
  const controls = all.filter((one) => !one.changed && !one.before);
  const here = controls.filter(({ site }) => site === suspect.site);
  if (suffers(here)) return { kind: 'surroundings', site: suspect.site };
  // Elsewhere only where nobody here can be asked: a site has its own weather.
  if (here.length === 0 && suffers(controls)) return { kind: 'surroundings', site: null };
  return { kind: 'change' };
}

function suffers(controls: readonly Patient[]): boolean {
  const ill = controls.filter((one) => one.ill).length;
  return ill > 0 && ill >= controls.length * SHARE;
}
