/** How many nodes of a plan are under way at once: fewer where starts from the network do not come through. Pure. */
import { named } from '../../base/named.ts';
import type { Incident } from '../fleet/decisions/incidents.ts';

export type Pace = {
  atOnce: number;
  /** Why it is less than people allowed; null: it is not. */
  why: string | null;
};

/**
 * Each node under way that had to be started from the network again halves it: its boot server, or the way to it, cannot carry more. It
 * rests on decisions, and is never more than two people allowed.
 * @param most that they allowed
 */
export function paceOf(most: number, underWay: readonly Pick<Incident, 'name' | 'tries'>[]): Pace {
  const again = underWay.filter(({ tries }) => (tries.network ?? 0) > 1);
  const atOnce = Math.max(1, Math.floor(most / 2 ** again.length));
  if (atOnce === most) return { atOnce, why: null };
  const whose = named(again.map(({ name }) => name));
  return {
    atOnce,
    why: `${atOnce} at a time in place of ${most}: ${whose} did not come through a start from the network`,
  };
}
