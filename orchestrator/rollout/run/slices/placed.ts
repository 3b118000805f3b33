/** Places for slices in the fleet as it is now. */
import type { DataPaths } from '../../../../base/paths.ts';
import type { Slice } from '../../../fleet/decisions/slices.ts';
import type { Fleet } from '../../../fleet/fleet.ts';
import { type Placed, placeSlices, type Room, type Seat, seatsOf, type Wish } from '../../../slices/place.ts';
import { type Booked, byNode, peak } from '../../../slices/reservations/calendar.ts';
import { bookedOf } from '../../../slices/reservations/store.ts';
import { listSlices } from '../../../slices/store.ts';
import type { PlanNode } from '../../node.ts';
import { planNodes } from '../facts.ts';
import { type ServiceFacts, serviceFacts } from '../service-facts.ts';
import { hostsOf } from './hosts.ts';

/** The fleet, what is released, and what is reserved, of one moment. */
export type Ground = { nodes: readonly PlanNode[]; facts: ServiceFacts; booked: readonly Booked[] };

export const groundNow = async (fleet: Fleet, paths: DataPaths, now: number): Promise<Ground> => {
  const [nodes, facts] = await Promise.all([planNodes(fleet, []), serviceFacts(paths, now)]);
  return { nodes, facts, booked: bookedOf(fleet, now) };
};

/**
 * @param all those that have ended have no place
 * @param wishes in place of those of their names, or beside them
 */
export function placesOn(
  { nodes, facts, booked }: Ground,
  all: ReadonlyMap<string, Slice>,
  wishes: readonly Wish[],
  now: number,
): { seats: ReadonlyMap<string, Seat>; placed: Map<string, Placed> } {
  const live = new Map([...all].filter(([, { state }]) => state === 'live'));
  const held = new Map([...byNode(booked)].map(([id, some]) => [id, most(some, now)]));
  const seats = seatsOf(hostsOf(nodes, live, facts.takes, now), held);
  const asked = new Map<string, Wish>([...live, ...wishes.map((wish) => [wish.name, wish] as const)]);
  const wanted = [...asked.values()].map((wish): Wish => {
    const mine = booked.filter(({ slice }) => slice === wish.name);
    return mine.length === 0 ? wish : { ...wish, extra: most(mine, now) };
  });
  return { seats, placed: placeSlices(wanted, seats) };
}

const most = (windows: readonly Booked[], now: number): Room => peak(windows, now, Number.POSITIVE_INFINITY);

/** As it would be with this one, which is new or is to be another. */
export async function placesWith(fleet: Fleet, paths: DataPaths, now: number, wish: Wish) {
  const [all, ground] = await Promise.all([listSlices(fleet), groundNow(fleet, paths, now)]);
  return placesOn(ground, all, [wish], now);
}
