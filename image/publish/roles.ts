import { readFile } from 'node:fs/promises';
import type { DataPaths } from '../../base/paths.ts';
import { keyLayout } from '../../keys/layout.ts';
import { KeyRing } from '../../keys/release/ring.ts';
import { RELEASE_ROLES, type ReleaseRole } from '../../keys/release/roles.ts';
import { readRoot, roleKeys } from '../../keys/release/root.ts';
import { currentRoot, readRepository } from './repository.ts';

export type ShownRole = {
  role: ReleaseRole;
  /** TUF's names of the keys. */
  keys: string[];
  threshold: number;
  /** Private keys that are available. */
  here: number;
  /** What the role signed last; null before the first release. */
  version: number | null;
  expires: string | null;
};

/** @throws the system's error when there are no release keys at all */
export async function roles(
  { keys, releases }: Pick<DataPaths, 'keys' | 'releases'>,
  media: readonly string[] = [],
): Promise<ShownRole[]> {
  const repository = await readRepository(releases);
  const root =
    repository === null ? readRoot(await readFile(keyLayout(keys).release.root)) : currentRoot(repository);
  const ring = await KeyRing.open(keys, media);
  return RELEASE_ROLES.map((role) => {
    const named = roleKeys(root.signed, role);
    const last = role === 'root' ? root : repository?.[role];
    return {
      role,
      keys: named.keys.map(({ keyID }) => keyID),
      threshold: named.threshold,
      here: ring.of(root.signed, role).length,
      version: last?.signed.version ?? null,
      expires: last?.signed.expires ?? null,
    };
  });
}
