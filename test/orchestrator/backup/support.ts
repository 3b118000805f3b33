/** Backups of a real fleet: its keys, its Redis, age. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { type DataPaths, dataPaths } from '../../../base/paths.ts';
import { mustRun } from '../../../base/run.ts';
import { fleetOf } from '../../../orchestrator/backup/manifest.ts';
import { type RestoreOptions, restore } from '../../../orchestrator/backup/restore.ts';
import { type BackupOptions, backUp } from '../../../orchestrator/backup/write.ts';
import { openFleet } from '../../../orchestrator/operators/bans-of.ts';
import { connect } from '../../../orchestrator/redis/connect.ts';
import { by, server } from '../../attack/redis/server.ts';
import { silent } from '../fleet/support.ts';

export { by };

export async function folderFor(t: ExecutionContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'bw-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

export type AgeKey = { file: string; recipient: string };

export async function ageKey(t: ExecutionContext): Promise<AgeKey> {
  const file = join(await folderFor(t), 'key.txt');
  await mustRun('age-keygen', ['-o', file]);
  return { file, recipient: (await mustRun('age-keygen', ['-y', file])).stdout.trim() };
}

/** A server, whose records can be backed up, and a key for that. */
export async function fleetFor(t: ExecutionContext) {
  const made = await server(t);
  return { ...made, ...(await backupsOf(t, made)) };
}

/** Backups of this fleet, and what is restored of them. */
export async function backupsOf(
  t: ExecutionContext,
  { paths, fleet }: Pick<BackupOptions, 'paths' | 'fleet'>,
) {
  const key = await ageKey(t);
  const folder = await folderFor(t);
  let number = 0;
  const backup = async (more: Partial<BackupOptions> = {}) => {
    number += 1;
    const to = join(folder, `${number}.age`);
    const { signal } = new AbortController();
    const wanted = {
      ...{ paths, fleet, recipients: [key.recipient], large: true },
      to,
      signal,
      now: Date.now,
    };
    return { file: to, ...(await backUp({ ...wanted, ...more })) };
  };
  const options = async (from: string, more: Partial<RestoreOptions> = {}): Promise<RestoreOptions> => ({
    ...{ paths: dataPaths(join(await folderFor(t), 'data')), from, identity: key.file },
    ...{ fleet: await fleetOf(paths.keys), survivors: [], log: silent },
    by: { actor: 'operator:root@new', at: Date.now() },
    ...more,
  });
  const restored = async (from: string, more: Partial<RestoreOptions> = {}) => {
    const wanted = await options(from, more);
    return { paths: wanted.paths, told: await restore(wanted) };
  };
  return { key, folder, backup, options, restored };
}

/** The records of a restored fleet, until the test ends. */
export async function opened(t: ExecutionContext, paths: DataPaths) {
  const connection = await connect(paths, { url: '' });
  t.teardown(connection.close);
  return { ...connection, ...(await openFleet(paths, connection.redis, silent)) };
}
