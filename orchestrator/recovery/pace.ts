/** How many nodes of a plan are under way at once, and how long all of it takes. Pure. */
import { named } from '../../base/named.ts';
import type { Delivered } from '../../bootserver/http/delivery.ts';
import type { Incident } from '../fleet/decisions/incidents.ts';
import { LIMITS } from './playbook.ts';
import type { Report } from './report.ts';

export type Pace = {
  atOnce: number;
  /** Why it is less than people allowed; null: it is not. */
  why: string | null;
};

/** Milliseconds of a start from the network in which its image has to be there: the rest is the firmware's, and the boot's. */
export const FETCH = LIMITS.start / 2;

/** How many machines that start together have their images in time, at least one. */
export const roomFor = ({ rate, image }: Delivered): number =>
  Math.max(1, Math.floor((rate * FETCH) / 1000 / image));

/**
 * Each node under way that had to be started from the network again halves it: its boot server, or the way to it, cannot carry more. It
 * rests on decisions, and is never more than two people allowed. What the boot server was seen to deliver, as Redis says it, makes it fewer, too.
 * @param most that they allowed @param delivered null: nothing was seen
 */
export function paceOf(
  most: number,
  underWay: readonly Pick<Incident, 'name' | 'tries'>[],
  delivered: Delivered | null = null,
): Pace {
  const room = delivered === null ? most : roomFor(delivered);
  const again = underWay.filter(({ tries }) => (tries.network ?? 0) > 1);
  const halved = Math.max(1, Math.floor(most / 2 ** again.length));
  const atOnce = Math.min(halved, room);
  if (atOnce === most) return { atOnce, why: null };
  if (room < halved)
    return {
      atOnce,
      why: `${atOnce} at a time in place of ${most}: the boot server was seen to deliver ${mb(delivered!.rate)} MB/s, and an image has ${mb(delivered!.image)} MB`,
    };
  const whose = named(again.map(({ name }) => name));
  return {
    atOnce,
    why: `${atOnce} at a time in place of ${most}: ${whose} did not come through a start from the network`,
  };
}

const mb = (bytes: number): string => (bytes / 1e6).toFixed(1);

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
