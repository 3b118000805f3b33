/** The first steps of every change of the fleet's Secure Boot lists. */
import { access } from 'node:fs/promises';
import { BootwaveError } from '../../base/error.ts';
import { withLock } from '../../image/build/lock.ts';
import { keyLayout } from '../../keys/layout.ts';
import type { Fleet } from '../fleet/fleet.ts';
import type { NodeRecord } from '../fleet/record.ts';
import { isRegistered } from '../fleet/transitions.ts';

/** If two processes change the lists at once, the second one starts from the result of the first. @param keys folder */
export function inTurn<T>(keys: string, work: () => Promise<T>): Promise<T> {
  return withLock(`${keyLayout(keys).secureBoot.lists}.lock`, work);
}

/** @throws BootwaveError `KEYS_MISSING` */
export async function refuseWithoutKeys(folder: string): Promise<void> {
  const { owner, variables } = keyLayout(folder).secureBoot;
  for (const path of [owner, variables.KEK.key, variables.KEK.certificate]) {
    await access(path).catch((cause) => {
      throw new BootwaveError({
        code: 'KEYS_MISSING',
        what: `${path} is needed to sign what firmware is to believe, and is not there`,
        unchanged: 'nothing was changed',
        next: 'restore the keys from their newest backup',
        cause,
      });
    });
  }
}

/** Nodes that belong to the fleet, fenced ones too, by name. */
export async function registeredNodes(fleet: Fleet): Promise<NodeRecord[]> {
  const records = await fleet.nodes.getMany(await fleet.nodes.ids());
  return records
    .filter(({ state }) => isRegistered(state))
    .sort((a, b) => a.name.localeCompare(b.name, 'en', { numeric: true }));
}
