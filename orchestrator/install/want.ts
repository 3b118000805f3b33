import { BootwaveError } from '../../base/error.ts';
import type { By } from '../fleet/acting.ts';
import type { NodeChange } from '../fleet/events/set.ts';
import type { Fleet } from '../fleet/fleet.ts';
import { type SetNode, set } from '../fleet/set.ts';
import { Consents, recordConsent } from '../signer/consents.ts';
import { holdersOf } from '../upkeep/holders.ts';

/**
 * What a person wants of a node: how it starts, and by what rollouts may select it. For a node that should run from
 * its disk the installer does the rest; for one that should boot from the network the boot server does, at the next
 * restart.
 * @throws BootwaveError `NODE_IN_ROLLOUT`, and what `set` throws; nothing is changed then
 */
export async function want(fleet: Fleet, id: string, change: NodeChange, by: By): Promise<SetNode> {
  if (change.mode === 'netboot') await refuseHeld(fleet, id);
  return set(fleet, id, change, by);
}

/**
 * `want` for people: the consent that a disk be wiped is also recorded where the signer looks, and taken back there.
 * It is recorded last, so that a refused wish leaves no consent behind; until it is recorded the signer refuses, and
 * the installer asks again.
 * @param consents file of the consents
 */
export function setWithConsent(consents: string): typeof want {
  return async (fleet: Fleet, id: string, change: NodeChange, by: By): Promise<SetNode> => {
    const done = await want(fleet, id, change, by);
    if (done.record.wanted.wipe) {
      if (change.wipe === true) await recordConsent(consents, { say: 'wipe', node: id }, by);
    } else if ((await new Consents(consents).current()).wipes.has(id))
      await recordConsent(consents, { say: 'keep-data', node: id }, by);
    return done;
  };
}

/** Asks for a node to run from its own disk. @throws as `want` */
export async function wantInstalled(fleet: Fleet, id: string, by: By): Promise<void> {
  await want(fleet, id, { mode: 'installed' }, by);
}

/** A rollout under way was planned for the disk: what it stages there must be what starts. */
async function refuseHeld(fleet: Fleet, id: string): Promise<void> {
  const [record, holders] = await Promise.all([fleet.nodes.get(id), holdersOf(fleet.redis, [id])]);
  const rollout = holders.get(id);
  if (rollout === undefined || record === null || record.wanted.mode === 'netboot') return;
  throw new BootwaveError({
    code: 'NODE_IN_ROLLOUT',
    what: `rollout ${rollout} has node ${record.name} and was planned for its disk`,
    unchanged: 'the node',
    next: `wait for its end, or leave the node out: bootwave rollout skip ${rollout} ${record.name}`,
  });
}
