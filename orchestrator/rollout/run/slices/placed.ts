/** Places for slices in the fleet as it is now. */
import type { DataPaths } from '../../../../base/paths.ts';
import type { Slice } from '../../../fleet/decisions/slices.ts';
import type { Fleet } from '../../../fleet/fleet.ts';
import { type Placed, placeSlices, type Seat, seatsOf, type Wish } from '../../../slices/place.ts';
import { listSlices } from '../../../slices/store.ts';
import type { PlanNode } from '../../node.ts';
import { planNodes } from '../facts.ts';
import { type ServiceFacts, serviceFacts } from '../service-facts.ts';
import { hostsOf } from './hosts.ts';

/** The fleet, and what is released, of one moment. */
export type Ground = { nodes: readonly PlanNode[]; facts: ServiceFacts };

export const groundNow = async (fleet: Fleet, paths: DataPaths, now: number): Promise<Ground> => {
  const [nodes, facts] = await Promise.all([planNodes(fleet, []), serviceFacts(paths, now)]);
  return { nodes, facts };
};

/**
 * @param all those that have ended have no place
 * @param wishes in place of those of their names, or beside them
 */
export function placesOn(
  { nodes, facts }: Ground,
  all: ReadonlyMap<string, Slice>,
  wishes: readonly Wish[],
  now: number,
): { seats: ReadonlyMap<string, Seat>; placed: Map<string, Placed> } {
  const live = new Map([...all].filter(([, { state }]) => state === 'live'));
  const seats = seatsOf(hostsOf(nodes, live, facts.takes, now));
  const asked = new Map<string, Wish>([...live, ...wishes.map((wish) => [wish.name, wish] as const)]);
  return { seats, placed: placeSlices([...asked.values()], seats) };
}

/** As it would be with this one, which is new or is to be another. */
export async function placesWith(fleet: Fleet, paths: DataPaths, now: number, wish: Wish) {
  const [all, ground] = await Promise.all([listSlices(fleet), groundNow(fleet, paths, now)]);
  return placesOn(ground, all, [wish], now);
}
