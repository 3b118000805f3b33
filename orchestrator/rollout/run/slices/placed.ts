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

/** All that places are decided by, of one moment. */
export type Ground = {
  /** Those that are live. */
  slices: ReadonlyMap<string, Slice>;
  nodes: readonly PlanNode[];
  facts: ServiceFacts;
  seats: ReadonlyMap<string, Seat>;
  /** Of the slices. */
  placed: Map<string, Placed>;
};

/** @param wish one that is new, or is to be another: as it would be with it */
export async function groundFor(fleet: Fleet, paths: DataPaths, now: number, wish?: Wish): Promise<Ground> {
  const [all, nodes, facts] = await Promise.all([
    listSlices(fleet),
    planNodes(fleet, []),
    serviceFacts(paths, now),
  ]);
  const slices = new Map([...all].filter(([, { state }]) => state === 'live'));
  const seats = seatsOf(hostsOf(nodes, slices, facts.takes, now));
  const wishes = new Map<string, Wish>(slices);
  if (wish !== undefined) wishes.set(wish.name, wish);
  return { slices, nodes, facts, seats, placed: placeSlices([...wishes.values()], seats) };
}
