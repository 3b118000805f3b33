/** What several steps end in. */
import type { Activity, Moment, Patch, Phase, State, Work } from './state.ts';

export const wait = (milliseconds: number, before: Work): Activity => ({
  type: 'wait',
  milliseconds: Math.round(milliseconds),
  before,
});

export const nextBeat = ({ interval }: Pick<State, 'interval'>, url: string, { random }: Moment): Activity =>
  wait(interval * 1000 * (0.8 + random * 0.4), { type: 'heartbeat', url });

/** A machine that once had a server has lost it; one that never had is searching. */
export const looking = ({ view }: State, first: 'searching' | 'enrolling'): Phase =>
  ['pending', 'approved', 'healthy', 'held', 'rejected', 'server-lost'].includes(view.phase)
    ? 'server-lost'
    : first;

export function search(state: State, notice: string | null = null): Patch {
  return {
    activity: { type: 'search', thorough: false },
    failures: 0,
    view: { phase: looking(state, 'searching'), notice },
  };
}

export function urlOf(activity: Activity): string {
  if (activity.type === 'wait') return urlOf(activity.before);
  return 'url' in activity ? activity.url : '';
}
