import { BootwaveError } from '../../base/error.ts';
import type { DataPaths } from '../../base/paths.ts';
import type { Authority } from '../../keys/authority.ts';
import { type Generation, generationsOf, openGeneration } from '../../keys/generations.ts';
import type { AuthorityName } from '../../keys/layout.ts';
import type { BanSet } from '../fleet/bans/set.ts';
import { journalFile } from '../fleet/decisions/journal.ts';
import { decisionsOnDisk } from '../fleet/decisions/on-disk.ts';
import { authorityStates, type States } from './states.ts';

export type OnDisk = States & { generations: readonly Generation[] };

/** The CAs of one name as this machine knows them, without asking Redis: `bans.log` has the steps. */
export async function authoritiesOnDisk(
  paths: DataPaths,
  ca: AuthorityName,
): Promise<OnDisk & { set: BanSet }> {
  const { set } = await decisionsOnDisk(journalFile(paths)).current();
  const generations = await generationsOf(paths.keys, ca);
  return { set, generations, ...authorityStates(ca, generations, set.authoritySteps) };
}

/** @throws BootwaveError `CA_NONE` */
export function activeOf(ca: AuthorityName, { generations, active, missing }: OnDisk): Generation {
  const found = generations.find(({ id }) => id === active);
  if (found !== undefined) return found;
  throw new BootwaveError({
    code: generations.length === 0 ? 'KEYS_MISSING' : 'CA_NONE',
    what: `there is no ${ca} CA that may sign${missing.length === 0 ? '' : `, and the files of ${missing.join(', ')} are missing`}`,
    next:
      generations.length === 0
        ? "run 'bootwave keys init', which makes only what is missing"
        : 'restore the newest backup of the keys',
  });
}

/** The CA that signs. @throws BootwaveError `CA_NONE`, `KEYS_MISSING` */
export async function activeAuthority(paths: DataPaths, ca: AuthorityName): Promise<Authority> {
  return openGeneration(activeOf(ca, await authoritiesOnDisk(paths, ca)));
}
