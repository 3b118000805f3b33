import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { createLogger } from '../../base/log.ts';
import { type DataPaths, dataPaths } from '../../base/paths.ts';
import { type Connection, connect } from '../../orchestrator/redis/connect.ts';

export const silent = createLogger('test', 'silent');

export async function temporaryData(t: ExecutionContext): Promise<DataPaths> {
  const root = await mkdtemp(join(tmpdir(), 'bw-'));
  t.teardown(() => rm(root, { recursive: true, force: true }));
  return dataPaths(root);
}

/** A real Redis of the test's own; stopped at its end. */
export async function redisFor(t: ExecutionContext): Promise<Connection & { paths: DataPaths }> {
  const paths = await temporaryData(t);
  const connection = await connect(paths, { url: '' });
  t.teardown(connection.close);
  return { ...connection, paths };
}
