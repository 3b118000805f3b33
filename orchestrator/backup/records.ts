/** The content of Redis as of one instant, while others write to it: what a replica would get (RDB). */
import { spawn } from 'node:child_process';
import { mkdir, rename, writeFile } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { dirname, join } from 'node:path';
import type { Redis } from 'ioredis';
import { BootwaveError } from '../../base/error.ts';
import { lastWords } from '../../base/run.ts';

/** Bytes behind a transfer whose length nobody knew before (Redis, RDB_EOF_MARK_SIZE). */
const MARK = 40;

/**
 * The bytes of an RDB file, as they come: `redis-cli` asks for what a replica would get.
 * @throws BootwaveError `BACKUP_REDIS`
 */
export async function* recordsOf(redis: Redis): AsyncGenerator<Buffer> {
  const { args, env } = reach(redis);
  const child = spawn('redis-cli', [...args, '--rdb', '-'], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  });
  const said = lastWords(child.stderr);
  const ended = new Promise<number | null>((resolve) => {
    child.on('error', () => resolve(127)).on('close', resolve);
  });
  try {
    let held = Buffer.alloc(0);
    let told = 0;
    for await (const piece of child.stdout as AsyncIterable<Buffer>) {
      held = Buffer.concat([held, piece]);
      if (held.length <= MARK) continue;
      const ready = held.subarray(0, held.length - MARK);
      held = held.subarray(ready.length);
      told += ready.length;
      yield ready;
    }
    const code = await ended;
    const words = said();
    // Only its last words say whether a mark follows.
    const [, size] = /finished with success(?: after (\d+) bytes)?/.exec(words) ?? [];
    const isWhole = code === 0 && /finished with success/.test(words);
    if (!isWhole || (size !== undefined && Number(size) !== told))
      throw failed(words.trim().split('\n').at(-1) ?? '');
    if (size === undefined) yield held;
  } finally {
    child.kill();
  }
}

function reach(redis: Redis): { args: string[]; env: NodeJS.ProcessEnv } {
  const { path, username, password, tls, db = 0 } = redis.options;
  if (db !== 0)
    throw failed(
      `the records are in database ${db} of a Redis that may have others: back that Redis up by its own means`,
    );
  if (typeof path === 'string') return { args: ['-s', path], env: {} };
  // Behind Sentinels only the connection knows which server it is.
  const { remoteAddress = '', remotePort = 0 } = redis.stream as Socket;
  const user = username ? ['--user', username] : [];
  const secure = tls === undefined ? [] : ['--tls'];
  return {
    args: ['-h', remoteAddress, '-p', String(remotePort), ...user, ...secure],
    env: password ? { REDISCLI_AUTH: password } : {},
  };
}

function failed(why: string): BootwaveError {
  return new BootwaveError({
    code: 'BACKUP_REDIS',
    what: `Redis did not give its content: ${why}`,
    unchanged: 'no backup was made',
    next: "see 'bootwave doctor'; a Redis of your own must let this user replicate (SYNC)",
  });
}

/**
 * Puts an RDB file where the embedded Redis loads it: as the base of its append-only file (Redis 7, aof.c), because with such a
 * file it reads no other.
 * @param dir of Redis @param rdb is moved there
 */
export async function placeRecords(dir: string, rdb: string): Promise<void> {
  const base = join(dir, 'appendonlydir', 'appendonly.aof.1.base.rdb');
  await mkdir(dirname(base), { recursive: true, mode: 0o700 });
  await rename(rdb, base);
  await writeFile(
    join(dirname(base), 'appendonly.aof.manifest'),
    'file appendonly.aof.1.base.rdb seq 1 type b\n',
    {
      mode: 0o600,
    },
  );
}
