/** What every node of the fleet is to run, and what it says it does. */
import type { Fleet } from '../fleet/fleet.ts';
import { isRegistered } from '../fleet/transitions.ts';
import { readIssued } from '../orders/issued.ts';
import type { Member } from './affected.ts';

/** Those that were let in. */
export async function membersOf(fleet: Fleet): Promise<Member[]> {
  const ids = await fleet.nodes.ids();
  const [records, issued] = await Promise.all([fleet.nodes.getMany(ids), readIssued(fleet.redis, ids)]);
  return records.flatMap(({ id, site, state }) => {
    if (!isRegistered(state)) return [];
    const services = issued.get(id)?.order.services ?? [];
    return [{ site, wanted: services.map(({ name, version }) => ({ name, version })), runs: null }];
  });
}
