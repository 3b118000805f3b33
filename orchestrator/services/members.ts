/** What every node of the fleet is to run, and what it says it does. */
import type { Fleet } from '../fleet/fleet.ts';
import { fleetUsage } from '../usage/fleet.ts';
import type { Member } from './affected.ts';

/** Those that were let in. */
export async function membersOf(fleet: Fleet): Promise<Member[]> {
  return (await fleetUsage(fleet)).map(({ node: { site }, wanted, runs }) => ({ site, wanted, runs }));
}
