/** The content of a Redis, byte for byte as a replica gets it: of ours, and of one that somebody else runs. */
import { execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { dataPaths } from '../../../base/paths.ts';
import { mustRun } from '../../../base/run.ts';
import { placeRecords, recordsOf } from '../../../orchestrator/backup/records.ts';
import { connect } from '../../../orchestrator/redis/connect.ts';
import { redisFiles } from '../../../orchestrator/redis/settings.ts';
import { freePort } from '../../support/free-port.ts';
import { redisFor } from '../fleet/support.ts';
import { folderFor } from './support.ts';

test('large and small, while others write: whole by its own checksum, and loaded as the base of an append-only file', async (t) => {
  const { redis } = await redisFor(t);
  const folder = await folderFor(t);
  for (const [round, count] of [0, 1, 20_000].entries()) {
    const fill = redis.pipeline();
    for (let i = 0; i < count; i += 1) fill.set(`key ${i}`, `value ${i}`.repeat(20));
    await fill.exec();
    let stop = false;
    const writing = (async () => {
      for (let i = 0; !stop; i += 1) await redis.set('counter', i);
    })();
    const rdb = join(folder, `${round}.rdb`);
    await writeFile(rdb, await buffer(recordsOf(redis)));
    stop = true;
    await writing;
    await mustRun('redis-check-rdb', [rdb]);
    const paths = dataPaths(join(folder, `${round}`));
    await mkdir(paths.root);
    await placeRecords(redisFiles(paths.redis).dir, rdb);
    const there = await connect(paths, { url: '' });
    t.true((await there.redis.dbsize()) >= count);
    if (count > 1) t.is(await there.redis.get('key 19999'), 'value 19999'.repeat(20));
    await there.redis.set('after', '1');
    await there.close();
    const again = await connect(paths, { url: '' });
    t.is(await again.redis.get('after'), '1', 'it goes on as any other');
    await again.close();
  }
});

/** Somebody else's Redis, on TCP and with a password. */
async function otherRedis(t: ExecutionContext) {
  const dir = await folderFor(t);
  const port = await freePort();
  const secret = 'of-nobody-else';
  const config = join(dir, 'redis.conf');
  const lines = [`port ${port}`, 'bind 127.0.0.1', `dir ${dir}`, 'save ""', `requirepass ${secret}`];
  // Long enough for a look at what runs.
  await writeFile(
    config,
    [...lines, 'maxmemory-policy noeviction', 'repl-diskless-sync-delay 3', ''].join('\n'),
  );
  const child = spawn('/usr/bin/redis-server', [config], { stdio: 'ignore' });
  t.teardown(() => child.kill('SIGKILL'));
  const paths = dataPaths(join(dir, 'data'));
  await mkdir(paths.root);
  const open = async (db: number) => {
    for (;;) {
      const url = `redis://:${secret}@127.0.0.1:${port}/${db}`;
      const made = await connect(paths, { url }).catch(() => null);
      if (made !== null) return made;
      await sleep(50);
    }
  };
  return { dir, port, secret, child, open };
}

test('behind TCP and a password, which no other process sees', async (t) => {
  const { dir, port, secret, open } = await otherRedis(t);
  const { redis, close } = await open(0);
  await redis.set('a', 'b');
  const reading = buffer(recordsOf(redis));
  const running = () => execFileSync('ps', ['axww', '-o', 'args']).toString();
  while (!running().includes(`-p ${port}`)) await sleep(10);
  t.false(running().includes(secret));
  const rdb = join(dir, 'x.rdb');
  await writeFile(rdb, await reading);
  await mustRun('redis-check-rdb', [rdb]);
  await close();
  const other = await open(3);
  await t.throwsAsync(buffer(recordsOf(other.redis)), { code: 'BACKUP_REDIS' });
  await other.close();
});

test('a Redis that goes away in the middle gives no backup', async (t) => {
  const { child, open } = await otherRedis(t);
  const { redis, close } = await open(0);
  const fill = redis.pipeline();
  for (let i = 0; i < 20_000; i += 1) fill.set(`key ${i}`, randomBytes(200));
  await fill.exec();
  const broken = async () => {
    for await (const piece of recordsOf(redis)) if (piece.length > 0) child.kill('SIGKILL');
  };
  await t.throwsAsync(broken(), { code: 'BACKUP_REDIS' });
  await close();
});
