import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import type { DataPaths } from '../../../base/paths.ts';
import { initKeys } from '../../../keys/init.ts';

const made: Promise<string>[] = [];

async function make(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'bw-keys-'));
  await initKeys(join(folder, 'keys'));
  return folder;
}

/** The keys of a fleet, made once for a test file and copied: RSA keys take most of the time of such tests. */
export async function giveKeys(paths: DataPaths, fleet = 0): Promise<void> {
  made[fleet] ??= make();
  await cp(join(await made[fleet], 'keys'), paths.keys, { recursive: true });
}

test.after.always('remove the keys', async () => {
  for (const folder of await Promise.all(made)) await rm(folder, { recursive: true, force: true });
});
