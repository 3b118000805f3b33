import { randomBytes } from 'node:crypto';
import { mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { exists } from '../../base/files.ts';
import { mustRun } from '../../base/run.ts';
import { digestOfTree, REPOSITORY } from '../../image/build/cache.ts';
import { initKeys } from '../../keys/init.ts';

/**
 * All keys of a fleet in `folder`, which may be there, as `keys init` of this checkout makes them. They are made once and
 * copied: eight RSA keys and the tools around them cost seconds, and most tests are not about their making.
 * @param fleet `theirs` has no key in common with `ours`
 */
export async function keysIn(folder: string, fleet: 'ours' | 'theirs' = 'ours'): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await mustRun('cp', ['-a', `${await madeOnce(fleet)}/.`, folder]);
}

async function madeOnce(fleet: string): Promise<string> {
  const kept = join(REPOSITORY, '.build/test-keys');
  const path = join(kept, `${await digestOfTree(join(REPOSITORY, 'keys'))}-${fleet}`);
  if (await exists(path)) return path;
  const fresh = join(kept, `tmp-${randomBytes(6).toString('hex')}`);
  await mkdir(fresh, { recursive: true, mode: 0o700 });
  await initKeys(fresh);
  // Of several test files that make them at once, one is first.
  await rename(fresh, path).catch(() => rm(fresh, { recursive: true }));
  return path;
}
