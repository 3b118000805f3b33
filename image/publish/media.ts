/** Release keys on removable storage: how they are written there and removed again. */
import { mkdir, readdir, realpath, stat } from 'node:fs/promises';
import { relative } from 'node:path';
import { BootwaveError, messageOf } from '../../base/error.ts';
import { createFileAtomic } from '../../base/files.ts';
import { pemOf, type SigningKey } from '../../keys/release/key.ts';
import { keyFile, mediumFolder } from '../../keys/release/ring.ts';
import type { ReleaseRole } from '../../keys/release/roles.ts';

/**
 * @param data the data directory: a folder inside it is not removable storage
 * @throws BootwaveError `RELEASE_MEDIUM`
 */
export async function checkMedia(directories: readonly string[], data: string): Promise<void> {
  const seen = new Set<string>();
  for (const directory of directories) {
    const refuse = (what: string, next: string) =>
      new BootwaveError({ code: 'RELEASE_MEDIUM', what, unchanged: 'no key was made or moved', next });
    const real = await realpath(directory).catch((cause: unknown) => {
      throw refuse(
        `${directory} cannot be used: ${messageOf(cause)}`,
        'plug the storage in, mount it, name it',
      );
    });
    if (!(await stat(real)).isDirectory())
      throw refuse(`${directory} is no directory`, 'name the directory where the storage is mounted');
    const inside = relative(await realpath(data).catch(() => data), real);
    if (inside === '' || !inside.startsWith('..'))
      throw refuse(`${directory} is inside of the data directory`, 'name storage that can be taken away');
    if (seen.has(real)) throw refuse(`${directory} is named twice`, 'name each storage once');
    seen.add(real);
  }
}

/** @throws BootwaveError `RELEASE_MEDIUM` when it holds keys already: they may be the only ones of another fleet */
export async function mustBeEmpty(directory: string): Promise<void> {
  const names = await readdir(mediumFolder(directory)).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
  if (names.length === 0) return;
  throw new BootwaveError({
    code: 'RELEASE_MEDIUM',
    what: `${mediumFolder(directory)} holds something already: ${names.slice(0, 4).join(', ')}`,
    unchanged: 'no key was made or moved',
    next: 'use other storage, or move that folder away first',
  });
}

/** @returns the file, which is on the medium when this resolves */
export async function writeKey(folder: string, role: ReleaseRole, key: SigningKey): Promise<string> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const file = keyFile(folder, role, key.public.keyID);
  await createFileAtomic(file, pemOf(key.secret));
  return file;
}
