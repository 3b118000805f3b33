/** Changing release keys: each change is a new root, signed by the keys that counted before and by those that count now. */
import { rm } from 'node:fs/promises';
import type { Root } from '@tufjs/models';
import { BootwaveError } from '../../base/error.ts';
import type { DataPaths } from '../../base/paths.ts';
import { keyLayout } from '../../keys/layout.ts';
import { makeSecret, type SigningKey, signerOf, signingKey } from '../../keys/release/key.ts';
import { KeyRing, keyFile, mediumFolder } from '../../keys/release/ring.ts';
import { OFFLINE_ROLES, RELEASE_ROLES, type ReleaseRole } from '../../keys/release/roles.ts';
import { nextRoot, type RoleKeys, type RootMetadata, roleKeys } from '../../keys/release/root.ts';
import { checkMedia, mustBeEmpty, writeKey } from './media.ts';
import { type PublishOptions, publishRoot } from './publish.ts';
import { currentRoot } from './repository.ts';

type Options = PublishOptions & { paths: DataPaths };

export type Rotated = {
  /** Version of the new root. */
  root: number;
  /** Files of the new private keys. */
  made: string[];
};

/**
 * Gives a role new keys, one for each that is available, in the same places. Keys of the role that are elsewhere stay
 * valid; to get rid of a lost one, hold the ceremony again.
 * @throws BootwaveError `RELEASE_KEYS_ABSENT`; then nothing is changed
 */
export async function rotate(role: ReleaseRole, options: Options): Promise<Rotated> {
  const { paths, media = [] } = options;
  const folders = [keyLayout(paths.keys).release.folder, ...media.map(mediumFolder)];
  const made: string[] = [];
  const { before, root } = await changed(options, made, async ({ roots, ring, at }) => {
    const { signed } = currentRoot({ roots });
    mustSign(ring, signed);
    const { keys, threshold } = roleKeys(signed, role);
    const fresh: SigningKey[] = [];
    let left = [...keys];
    for (const [i, folder] of folders.entries()) {
      // A role whose key was lost gets its new one here, on the machine that signs.
      const here = await KeyRing.in(folder);
      const old = here.of(signed, role);
      const isLost = i === 0 && !OFFLINE_ROLES.includes(role) && ring.of(signed, role).length === 0;
      const count = isLost ? 1 : old.length;
      const gone = new Set((isLost ? keys : old.map((key) => key.public)).map(({ keyID }) => keyID));
      left = left.filter(({ keyID }) => !gone.has(keyID));
      for (let n = 0; n < count; n += 1) {
        const key = signingKey(makeSecret());
        made.push(await writeKey(folder, role, key));
        fresh.push(key);
      }
    }
    if (fresh.length === 0) throw absent(role);
    const now = { keys: [...left, ...fresh.map((key) => key.public)], threshold };
    return signedAnew(ring, { roots, at }, { [role]: now }, fresh);
  });
  await tidy(folders, before, root);
  return { root: root.version, made };
}

export type Ceremony = {
  /** One directory of each removable storage. */
  directories: readonly string[];
  /** Root keys that must sign. */
  threshold: number;
  /** Targets keys that must sign. */
  targetsThreshold: number;
};

/**
 * Makes new root and targets keys on removable storage, one of each on every one, makes the fleet trust only those,
 * and removes the old ones from this machine.
 * @throws BootwaveError `RELEASE_MEDIUM`, `RELEASE_THRESHOLD`, `RELEASE_KEYS_ABSENT`; then the trusted keys are
 * unchanged
 */
export async function ceremony(
  { directories, threshold, targetsThreshold }: Ceremony,
  options: Options,
): Promise<Rotated> {
  const { paths, media = [] } = options;
  await checkMedia(directories, paths.root);
  for (const directory of directories) await mustBeEmpty(directory);
  for (const wanted of [threshold, targetsThreshold])
    if (wanted < 1 || wanted > directories.length)
      throw new BootwaveError({
        code: 'RELEASE_THRESHOLD',
        what: `of ${directories.length} keys, ${wanted} cannot be asked to sign`,
        unchanged: 'no key was made or moved',
        next: 'name more directories, or a threshold that they reach',
      });
  const made: string[] = [];
  const { before, root } = await changed(options, made, async ({ roots, ring, at }) => {
    mustSign(ring, currentRoot({ roots }).signed);
    const fresh = { root: [] as SigningKey[], targets: [] as SigningKey[] };
    for (const directory of directories)
      for (const role of ['root', 'targets'] as const) {
        const key = signingKey(makeSecret());
        made.push(await writeKey(mediumFolder(directory), role, key));
        fresh[role].push(key);
      }
    const publicOf = (keys: readonly SigningKey[]) => keys.map((key) => key.public);
    const now = {
      root: { keys: publicOf(fresh.root), threshold },
      targets: { keys: publicOf(fresh.targets), threshold: targetsThreshold },
    };
    return signedAnew(ring, { roots, at }, now, [...fresh.root, ...fresh.targets]);
  });
  await tidy([keyLayout(paths.keys).release.folder, ...media.map(mediumFolder)], before, root);
  return { root: root.version, made };
}

/** Checked before a key is made: without enough root keys the ceremony cannot succeed. */
function mustSign(ring: KeyRing, root: Root): void {
  ring.sign({ sign: () => {} }, root, 'root');
}

/** TUF 1.0.34, 5.3.4: a threshold of the old root keys and one of the new ones. */
function signedAnew(
  ring: KeyRing,
  { roots, at }: { roots: readonly RootMetadata[]; at: number },
  changed: Partial<Record<ReleaseRole, RoleKeys>>,
  fresh: readonly SigningKey[],
): { root: RootMetadata; ring: KeyRing } {
  const before = currentRoot({ roots });
  const root = nextRoot(before, changed, at);
  const all = ring.with(fresh);
  all.sign(root, before.signed, 'root');
  for (const key of all.of(root.signed, 'root')) root.sign(signerOf(key), true);
  return { root, ring: all };
}

/** @param made the files of new keys; they are deleted when the rotation fails */
async function changed(
  options: PublishOptions,
  made: readonly string[],
  make: Parameters<typeof publishRoot>[1],
): Promise<{ before: Root; root: Root }> {
  let before: Root | undefined;
  try {
    const root = await publishRoot(options, (now) => {
      before = currentRoot(now).signed;
      return make(now);
    });
    return { before: before!, root: root.signed };
  } catch (error) {
    for (const file of made) await rm(file, { force: true });
    throw error;
  }
}

/** Keys that were trusted before and are not any more. Keys of another fleet are left alone. */
async function tidy(folders: readonly string[], before: Root, now: Root): Promise<void> {
  for (const role of RELEASE_ROLES) {
    const gone = before.roles[role]!.keyIDs.filter((id) => !now.roles[role]!.keyIDs.includes(id));
    for (const folder of folders) for (const id of gone) await rm(keyFile(folder, role, id), { force: true });
  }
}

function absent(role: ReleaseRole): BootwaveError {
  return new BootwaveError({
    code: 'RELEASE_KEYS_ABSENT',
    what: `no ${role} key is here to be replaced`,
    unchanged: 'no key was made or moved',
    next: `plug in the storage with the ${role} keys and name it: --keys DIRECTORY, once for each`,
  });
}
