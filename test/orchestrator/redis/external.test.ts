import { spawn } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import test, { type ExecutionContext } from 'ava';
import { pino } from 'pino';
import { connect } from '../../../orchestrator/redis/connect.ts';
import { judgeKeeping, keepingOf } from '../../../orchestrator/redis/external.ts';
import { probe } from '../../../orchestrator/redis/probe.ts';
import { temporaryData } from '../fleet/support.ts';

/** Somebody else's Redis; ioredis takes the path of a unix socket in the place of a URL. */
async function otherRedis(t: ExecutionContext, ...settings: string[]) {
  const paths = await temporaryData(t);
  const dir = join(paths.root, 'other');
  await mkdir(dir);
  const url = join(dir, 's');
  const child = spawn(
    '/usr/bin/redis-server',
    ['--port', '0', '--unixsocket', url, '--dir', dir, '--save', '', ...settings],
    {
      stdio: 'ignore',
    },
  );
  t.teardown(() => child.kill('SIGKILL'));
  while ((await probe(url)).state !== 'ready') await new Promise((resolve) => setTimeout(resolve, 10));
  return { url, paths };
}

test('an external Redis that may evict records is refused', async (t) => {
  const { url, paths } = await otherRedis(t, '--maxmemory', '100mb', '--maxmemory-policy', 'allkeys-lru');
  await t.throwsAsync(connect(paths, { url }), { code: 'REDIS_EVICTS' });
});

test('an external Redis without append-only file is used with a warning', async (t) => {
  const { url, paths } = await otherRedis(t, '--maxmemory-policy', 'noeviction', '--appendonly', 'no');
  const lines: string[] = [];
  const sink = new Writable({
    write: (chunk, _, done) => {
      lines.push(String(chunk));
      done();
    },
  });
  const { redis, embedded, close } = await connect(paths, { url, log: pino({ level: 'warn' }, sink) });
  t.false(embedded);
  t.is(await redis.ping(), 'PONG');
  await close();
  t.is((await probe(url)).state, 'ready', 'closing must not stop what we did not start');
  t.true(lines.some((line) => line.includes(`appendonly no`)));
});

test('no server behind the URL: a coded error that does not repeat the password', async (t) => {
  const paths = await temporaryData(t);
  const error = await t.throwsAsync(connect(paths, { url: 'redis://:hunter2@127.0.0.1:1/0' }), {
    code: 'REDIS_UNREACHABLE',
  });
  t.false(String(error?.message).includes('hunter2'));
});

test('INFO is read as Redis prints it', (t) => {
  const info = 'maxmemory:0\r\nmaxmemory_policy:noeviction\r\naof_enabled:1\r\nrole:master\r\n';
  t.deepEqual(keepingOf(info), { policy: 'noeviction', maxmemory: 0, aof: true, role: 'master' });
  t.deepEqual(judgeKeeping(keepingOf(info)), []);
  t.throws(() => judgeKeeping(keepingOf(info.replace('master', 'slave'))), { code: 'REDIS_READ_ONLY' });
  t.throws(() => judgeKeeping(keepingOf('')), { code: 'REDIS_EVICTS' });
});
