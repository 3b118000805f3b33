/** The private release keys that are available: on this machine, and on storage that somebody has plugged in. */
import { createPrivateKey } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Metadata, Root } from '@tufjs/models';
import { BootwaveError, messageOf } from '../../base/error.ts';
import { keyLayout } from '../layout.ts';
import { type SigningKey, signerOf, signingKey } from './key.ts';
import type { ReleaseRole } from './roles.ts';
import { roleKeys } from './root.ts';

/** On removable storage the keys lie in a folder of this name. */
const MEDIUM_FOLDER = 'bootwave-release';

export const mediumFolder = (directory: string): string => join(directory, MEDIUM_FOLDER);

/** @param id of the key; its first eight characters are enough to tell keys apart */
export const keyFile = (folder: string, role: ReleaseRole, id: string): string =>
  join(folder, `${role}-${id.slice(0, 8)}.key`);

export class KeyRing {
  readonly #keys: ReadonlyMap<string, SigningKey>;

  constructor(keys: Iterable<SigningKey>) {
    this.#keys = new Map([...keys].map((key) => [key.public.keyID, key]));
  }

  /**
   * @param keysFolder of this fleet
   * @param media directories, each with a folder `bootwave-release` in it
   * @throws BootwaveError `RELEASE_MEDIUM` when a directory holds no such folder, `RELEASE_KEY_FILE`
   */
  static async open(keysFolder: string, media: readonly string[] = []): Promise<KeyRing> {
    const keys = await readKeys(keyLayout(keysFolder).release.folder).catch(noFolder);
    for (const directory of media) {
      keys.push(
        ...(await readKeys(mediumFolder(directory)).catch((error: unknown) => {
          if (error instanceof BootwaveError) throw error;
          throw new BootwaveError({
            code: 'RELEASE_MEDIUM',
            what: `there are no release keys in ${mediumFolder(directory)}: ${messageOf(error)}`,
            unchanged: 'nothing was signed',
            next: "name the directory where 'bootwave keys ceremony' put them",
          });
        })),
      );
    }
    return new KeyRing(keys);
  }

  /** The keys in one folder. */
  static async in(folder: string): Promise<KeyRing> {
    return new KeyRing(await readKeys(folder).catch(noFolder));
  }

  with(more: Iterable<SigningKey>): KeyRing {
    return new KeyRing([...this.#keys.values(), ...more]);
  }

  /** The available keys of one role. */
  of(root: Root, role: ReleaseRole): SigningKey[] {
    return roleKeys(root, role).keys.flatMap(({ keyID }) => this.#keys.get(keyID) ?? []);
  }

  isEnough(root: Root, role: ReleaseRole): boolean {
    return this.of(root, role).length >= roleKeys(root, role).threshold;
  }

  /**
   * Signs with every available key of a role.
   * @throws BootwaveError `RELEASE_KEYS_ABSENT` when those are fewer than the root asks for
   */
  sign(metadata: Pick<Metadata<Root>, 'sign'>, root: Root, role: ReleaseRole): void {
    const keys = this.of(root, role);
    const { threshold } = roleKeys(root, role);
    if (keys.length < threshold) throw absent(role, keys.length, threshold);
    for (const key of keys) metadata.sign(signerOf(key), true);
  }
}

function absent(role: ReleaseRole, have: number, need: number): BootwaveError {
  return new BootwaveError({
    code: 'RELEASE_KEYS_ABSENT',
    what: `signing as '${role}' takes ${need} key${need === 1 ? '' : 's'}; ${have} of them ${have === 1 ? 'is' : 'are'} here`,
    unchanged: 'no release was changed',
    next: `plug in the storage with the ${role} keys and name it: --keys DIRECTORY, once for each`,
  });
}

async function readKeys(folder: string): Promise<SigningKey[]> {
  const names = (await readdir(folder)).filter((name) => name.endsWith('.key')).sort();
  return Promise.all(names.map((name) => readKey(join(folder, name))));
}

async function readKey(path: string): Promise<SigningKey> {
  try {
    const secret = createPrivateKey(await readFile(path));
    if (secret.asymmetricKeyType === 'ed25519') return signingKey(secret);
  } catch {
    // Told below.
  }
  throw new BootwaveError({
    code: 'RELEASE_KEY_FILE',
    what: `the file ${path} holds no Ed25519 private key`,
    unchanged: 'nothing was signed',
    next: 'restore it from its backup, or change the keys of that role: bootwave keys rotate ROLE',
  });
}

function noFolder(error: NodeJS.ErrnoException): SigningKey[] {
  if (error.code === 'ENOENT') return [];
  throw error;
}
