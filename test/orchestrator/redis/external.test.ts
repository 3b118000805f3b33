import { spawn } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import { Redis } from 'ioredis';
import { pino } from 'pino';
import { connect } from '../../../orchestrator/redis/connect.ts';
import {
  judgeKeeping,
  keepingOf,
  reconnectOnError,
  sentinelsOf,
} from '../../../orchestrator/redis/external.ts';
import { probe } from '../../../orchestrator/redis/probe.ts';
import { freePort } from '../../support/free-port.ts';
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

test('an external Redis that does not write at once is used with a warning', async (t) => {
  const settings = ['--maxmemory-policy', 'noeviction', '--appendonly', 'yes', '--appendfsync'];
  for (const [fsync, warns] of [
    ['everysec', true],
    ['always', false],
  ] as const) {
    const { url, paths } = await otherRedis(t, ...settings, fsync);
    let text = '';
    const sink = new Writable({
      write: (chunk, _, done) => {
        text += String(chunk);
        done();
      },
    });
    const { close } = await connect(paths, { url, log: pino({ level: 'warn' }, sink) });
    await close();
    t.is(text.includes(`appendfsync ${fsync}`), warns);
  }
});

test('Sentinels are read from the URL, and nothing else is taken for them', (t) => {
  t.is(sentinelsOf('redis://h/0'), null);
  t.is(sentinelsOf('/run/redis/s'), null);
  t.deepEqual(sentinelsOf('redis+sentinel://a,b:1234,[::1]:5/fleet'), {
    sentinels: [
      { host: 'a', port: 26379 },
      { host: 'b', port: 1234 },
      { host: '::1', port: 5 },
    ],
    name: 'fleet',
  });
  t.like(sentinelsOf('redis+sentinel://:p%40ss@a/fleet'), { password: 'p@ss', sentinelPassword: 'p@ss' });
  t.like(sentinelsOf('redis+sentinel://ann:x@a/fleet'), { username: 'ann', password: 'x' });
  for (const bad of ['//a', '//a/', '//:x%@a/n', '//a:0/n', '//a:99999/n', '//a,,b/n', '//hunter2@a b/n'])
    t.throws(() => sentinelsOf(`redis+sentinel:${bad}`), { code: 'REDIS_URL' }, bad);
  fc.assert(
    fc.property(fc.string(), (text) => {
      try {
        const found = sentinelsOf(`redis+sentinel://${text}`);
        return found === null || found.sentinels.length > 0;
      } catch (error) {
        return (error as { code?: string }).code === 'REDIS_URL';
      }
    }),
  );
});

test('a master that became a replica is left, other errors are none of that', (t) => {
  t.is(reconnectOnError(new Error("READONLY You can't write against a read only replica.")), 2);
  t.is(reconnectOnError(new Error('ERR no such key')), false);
});

test('a master under Sentinel is followed to the replica that takes its place', async (t) => {
  const paths = await temporaryData(t);
  const [master, replica, sentinel] = await Promise.all([freePort(), freePort(), freePort()]);
  const serve = async (name: string, port: number, ...settings: string[]) => {
    const dir = join(paths.root, name);
    await mkdir(dir);
    const file = join(dir, 'conf');
    const common = ['bind 127.0.0.1', `port ${port}`, `dir ${dir}`, ...settings];
    await writeFile(file, common.join('\n'));
    const mode = name === 'sentinel' ? ['--sentinel'] : [];
    const child = spawn('/usr/bin/redis-server', [file, ...mode], { stdio: 'ignore' });
    t.teardown(() => child.kill('SIGKILL'));
    return child;
  };
  const keeping = [
    'maxmemory-policy noeviction',
    'appendonly yes',
    'appendfsync always',
    'repl-diskless-sync-delay 0',
  ];
  const first = await serve('master', master, ...keeping);
  await serve('replica', replica, ...keeping, `replicaof 127.0.0.1 ${master}`);
  const watching = [
    `sentinel monitor fleet 127.0.0.1 ${master} 1`,
    'sentinel down-after-milliseconds fleet 500',
  ];
  const probing = new Redis(replica, '127.0.0.1', { retryStrategy: () => 50 });
  probing.on('error', () => {});
  t.teardown(() => probing.disconnect());
  while (!(await probing.info('replication')).includes('master_link_status:up')) await sleep(50);
  await serve('sentinel', sentinel, ...watching, 'sentinel failover-timeout fleet 5000');
  const asking = new Redis(sentinel, '127.0.0.1', { retryStrategy: () => 50 });
  asking.on('error', () => {});
  t.teardown(() => asking.disconnect());
  while (((await asking.call('SENTINEL', 'replicas', 'fleet')) as unknown[]).length === 0) await sleep(50);
  const { redis, close } = await connect(paths, { url: `redis+sentinel://127.0.0.1:${sentinel}/fleet` });
  t.teardown(close);
  await redis.set('a', '1');
  t.is(await redis.wait(1, 10_000), 1);
  first.kill('SIGKILL');
  for (;;) {
    const written = await redis.set('b', '2').catch(() => null);
    if (written === 'OK') break;
    await sleep(100);
  }
  t.is(await redis.get('a'), '1');
  t.is(await probing.get('b'), '2', 'the replica has taken its place');
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
  t.deepEqual(keepingOf(info), {
    policy: 'noeviction',
    maxmemory: 0,
    aof: true,
    role: 'master',
    fsync: null,
  });
  t.deepEqual(judgeKeeping(keepingOf(info)), []);
  t.throws(() => judgeKeeping(keepingOf(info.replace('master', 'slave'))), { code: 'REDIS_READ_ONLY' });
  t.throws(() => judgeKeeping(keepingOf('')), { code: 'REDIS_EVICTS' });
});
