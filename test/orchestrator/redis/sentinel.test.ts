/** A replicated Redis under a Sentinel, all real: where its master is, and where it is after it has died. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import { Redis } from 'ioredis';
import { BootwaveError } from '../../../base/error.ts';
import { connect } from '../../../orchestrator/redis/connect.ts';
import { redisOptionsOf, type SentinelOptions } from '../../../orchestrator/redis/url.ts';
import { freePort } from '../../support/free-port.ts';
import { temporaryData } from '../fleet/support.ts';

type Server = { port: number; child: ChildProcess; redis: Redis };

/** @param args settings, or a file and `--sentinel` */
async function server(t: ExecutionContext, dir: string, port: number, ...args: string[]): Promise<Server> {
  const child = spawn('/usr/bin/redis-server', args, { stdio: 'ignore', cwd: dir });
  const redis = new Redis({ port, retryStrategy: () => 20, maxRetriesPerRequest: null });
  redis.on('error', () => {});
  t.teardown(() => {
    redis.disconnect();
    child.kill('SIGKILL');
  });
  await redis.ping();
  return { port, child, redis };
}

test('the master is asked of the Sentinels, and again when it has died', async (t) => {
  const paths = await temporaryData(t);
  const start = async (name: string, ...settings: string[]) => {
    const dir = join(paths.root, name);
    await mkdir(dir);
    const port = await freePort();
    const own = ['--port', String(port), '--bind', '127.0.0.1', '--dir', dir, '--save', ''];
    return server(t, dir, port, ...own, '--maxmemory-policy', 'noeviction', ...settings);
  };
  const master = await start('master', '--repl-diskless-sync-delay', '0');
  const replica = await start('replica', '--replicaof', `127.0.0.1 ${master.port}`);
  while (!(await replica.redis.info('replication')).includes('master_link_status:up')) {
    await new Promise(setImmediate);
  }
  const port = await freePort();
  const file = join(paths.root, 'sentinel.conf');
  await writeFile(
    file,
    [
      `port ${port}`,
      'bind 127.0.0.1',
      `dir ${paths.root}`,
      `sentinel monitor fleet 127.0.0.1 ${master.port} 1`,
      'sentinel down-after-milliseconds fleet 500',
      'sentinel failover-timeout fleet 3000',
    ].join('\n'),
  );
  const sentinel = await server(t, paths.root, port, file, '--sentinel');
  while (((await sentinel.redis.call('SENTINEL', 'REPLICAS', 'fleet')) as unknown[]).length === 0) {
    await new Promise(setImmediate);
  }

  const { redis, close } = await connect(paths, { url: `redis-sentinel://127.0.0.1:${port}/0#fleet` });
  t.teardown(close);
  await redis.set('before', '1');
  await redis.wait(1, 10_000);
  t.is(await master.redis.get('before'), '1');

  // As Sentinel's word of a failover does that comes while the client connects anew.
  let stops = 0;
  redis.on('connecting', () => {
    stops += 1;
    if (stops <= 3) (redis as unknown as { connector: { disconnect(): void } }).connector.disconnect();
  });
  master.child.kill('SIGKILL');
  for (;;) {
    // Each command has its patience; whoever asks again meanwhile is what a worker of ours does.
    const done = await redis.set('after', '1').catch(() => null);
    if (done === 'OK') break;
    // What is refused at once must not keep the loop from everything else.
    await new Promise(setImmediate);
  }
  t.true(stops > 3, 'it was stopped, and made again');
  t.deepEqual(await replica.redis.mget('before', 'after'), ['1', '1']);
});

test('Sentinels that know no such master: a coded error, not a wait for ever', async (t) => {
  const paths = await temporaryData(t);
  const port = await freePort();
  await writeFile(join(paths.root, 'sentinel.conf'), `port ${port}\nbind 127.0.0.1\n`);
  await server(t, paths.root, port, join(paths.root, 'sentinel.conf'), '--sentinel');
  const url = `redis-sentinel://:hunter2@127.0.0.1:${port}#nobody`;
  const error = await t.throwsAsync(connect(paths, { url }), { code: 'REDIS_UNREACHABLE' });
  t.false(String(error?.message).includes('hunter2'));
});

test('the URL of Sentinels is read as Lettuce writes it', (t) => {
  const failover = { failoverDetector: true };
  t.deepEqual(redisOptionsOf('redis-sentinel://a:1,b,[fd00::1]:3/2#fleet'), {
    sentinels: [
      { host: 'a', port: 1 },
      { host: 'b', port: 26_379 },
      { host: 'fd00::1', port: 3 },
    ],
    name: 'fleet',
    db: 2,
    ...failover,
  });
  t.deepEqual(redisOptionsOf('rediss-sentinel://ann:p%40ss:word@a?sentinelPassword=s%23#x%20y'), {
    sentinels: [{ host: 'a', port: 26_379 }],
    name: 'x y',
    username: 'ann',
    password: 'p@ss:word',
    sentinelPassword: 's#',
    tls: {},
    sentinelTLS: {},
    enableTLSForSentinelMode: true,
    ...failover,
  });
  t.like(redisOptionsOf('redis-sentinel://:secret@a#m'), { password: 'secret', username: undefined });
  t.like(redisOptionsOf('redis-sentinel://secret@a#m'), { password: 'secret', username: undefined });
  // Everything else is for ioredis to read.
  for (const url of ['redis://:p@a:1/0', 'rediss://a', '/run/redis.sock']) t.is(redisOptionsOf(url), url);
});

for (const [what, url] of [
  ['no master', 'redis-sentinel://a:1'],
  ['no Sentinel', 'redis-sentinel:///0#m'],
  ['a port of 0', 'redis-sentinel://a:0#m'],
  ['a port above 65535', 'redis-sentinel://a:65536#m'],
  ['an empty Sentinel', 'redis-sentinel://a,,b#m'],
  ['an option that is none', 'redis-sentinel://a?timeout=1#m'],
  ['a lone %', 'redis-sentinel://:hunter2%@a#m'],
] as const) {
  test(`the URL of Sentinels with ${what} is refused, and not repeated`, (t) => {
    const error = t.throws(() => redisOptionsOf(url), { code: 'REDIS_URL' });
    t.false(String(error?.message).includes('hunter2'));
  });
}

test('any text behind the scheme is read or refused with the code', (t) => {
  const text = fc.oneof(fc.string(), fc.string({ unit: fc.constantFrom(...':@/?#,[]%a1') }));
  fc.assert(
    fc.property(text, (rest) => {
      try {
        const { sentinels = [], name } = redisOptionsOf(`redis-sentinel://${rest}`) as SentinelOptions;
        return (
          sentinels.length > 0 && name !== '' && sentinels.every(({ port }) => port !== undefined && port > 0)
        );
      } catch (error) {
        return error instanceof BootwaveError && error.code === 'REDIS_URL';
      }
    }),
    { numRuns: 2_000 },
  );
  t.pass();
});
