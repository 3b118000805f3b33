/**
 * Which nodes are unhealthy together: compared with nodes that did not change, first of the same site, then everywhere.
 */
import type { Cause } from './cause.ts';

export type Patient = {
  id: string;
  site: string;
  /** Has what the change brings. */
  changed: boolean;
  /** Ill now. */
  ill: boolean;
  /** Was unhealthy before the change reached it; without a change: before the change began. */
  before: boolean;
};

/** If at least this share of the unchanged nodes is unhealthy, their trouble explains that of the others. */
const SHARE = 0.3;

/** @param suspect unhealthy, and has the change */
export function illnessOf(suspect: Patient, all: readonly Patient[]): Cause {
  if (suspect.before) return { kind: 'ill-before' };
  const controls = all.filter((one) => !one.changed && !one.before);
  const here = controls.filter(({ site }) => site === suspect.site);
  if (suffers(here)) return { kind: 'surroundings', site: suspect.site };
  // Other sites only when no node of this site can be compared: trouble may be local to a site.
  if (here.length === 0 && suffers(controls)) return { kind: 'surroundings', site: null };
  if (here.length === 0 && isOfSite(suspect, all)) return { kind: 'surroundings', site: suspect.site };
  return { kind: 'change' };
}

/** Nodes at the site and elsewhere that are needed to tell a site's trouble by nodes that all have changed. */
const MANY = 4;

/**
 * All nodes here have changed: then nearly all of them are unhealthy, and hardly any of those that changed elsewhere.
 */
function isOfSite({ site }: Patient, all: readonly Patient[]): boolean {
  const changed = all.filter((one) => one.changed && !one.before);
  const here = changed.filter((one) => one.site === site);
  const there = changed.filter((one) => one.site !== site);
  if (here.length < MANY || there.length < MANY) return false;
  const ill = (some: readonly Patient[]) => some.filter((one) => one.ill).length / some.length;
  return ill(here) >= 0.8 && ill(there) <= 0.1;
}

function suffers(controls: readonly Patient[]): boolean {
  const ill = controls.filter((one) => one.ill).length;
  return ill > 0 && ill >= controls.length * SHARE;
}
