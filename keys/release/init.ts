import { mkdir, readFile, rm } from 'node:fs/promises';
import { createFileAtomic } from '../../base/files.ts';
import { keyLayout } from '../layout.ts';
import { makeSecret, pemOf, signerOf, signingKey } from './key.ts';
import { keyFile } from './ring.ts';
import { RELEASE_ROLES } from './roles.ts';
import { bytesOf, makeRoot } from './root.ts';

/**
 * A fleet's first release keys, one for each role, and the root that names them. Once there is a root nothing is
 * made: a key that is missing then is on removable storage, or must be replaced by a new root.
 * @returns the files that were made
 */
export async function initReleaseKeys(keysFolder: string): Promise<string[]> {
  const { folder, root } = keyLayout(keysFolder).release;
  const there = await readFile(root).then(
    () => true,
    () => false,
  );
  if (there) return [];
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const made = RELEASE_ROLES.map((role) => ({ role, key: signingKey(makeSecret()) }));
  const files = made.map(({ role, key }) => keyFile(folder, role, key.public.keyID));
  for (const [i, { key }] of made.entries()) await createFileAtomic(files[i]!, pemOf(key.secret));
  const keysOf = (role: string) => ({
    keys: made.filter((each) => each.role === role).map(({ key }) => key.public),
    threshold: 1,
  });
  const metadata = makeRoot(
    1,
    {
      root: keysOf('root'),
      targets: keysOf('targets'),
      snapshot: keysOf('snapshot'),
      timestamp: keysOf('timestamp'),
    },
    Date.now(),
  );
  for (const { role, key } of made) if (role === 'root') metadata.sign(signerOf(key));
  // When two processes make keys at once, one wins; no root names the keys of the other.
  if (await createFileAtomic(root, bytesOf(metadata), 0o644)) return [...files, root];
  for (const file of files) await rm(file, { force: true });
  return [];
}
