/** How many nodes of a plan are under way at once, and how long all of it takes. Pure. */
import { named } from '../../base/named.ts';
import type { Incident } from '../fleet/decisions/incidents.ts';
import type { Report } from './report.ts';

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

/** Good drills of a site whose time counts. */
const DRILLS = 5;

/** `all`: milliseconds that the plan takes, if each node takes `each`, the median of so many drills of its site. */
export type Expected = { all: number; each: number; drills: number };

/**
 * What was measured of the whole way, with the bake at its end, for one rack after the other.
 * @param racks of its nodes @returns null: no drill of this site has gone well yet
 */
export function expected(
  racks: readonly (string | null)[],
  atOnce: number,
  site: string,
  reports: readonly Report[],
): Expected | null {
  const times = reports
    .filter((one) => one.kind === 'recovery' && one.site === site && one.fault === null)
    .toSorted((a, b) => b.startedAt - a.startedAt)
    .slice(0, DRILLS)
    .map(({ startedAt, endedAt }) => endedAt - startedAt)
    .sort((a, b) => a - b);
  const each = times[Math.floor((times.length - 1) / 2)];
  if (each === undefined) return null;
  const turns = [...Map.groupBy(racks, (rack) => rack).values()].reduce(
    (sum, those) => sum + Math.ceil(those.length / atOnce),
    0,
  );
  return { all: turns * each, each, drills: times.length };
}
