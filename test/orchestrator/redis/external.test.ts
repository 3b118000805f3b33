import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import test, { type ExecutionContext } from 'ava';
import { Redis } from 'ioredis';
import { pino } from 'pino';
import { script } from '../../../orchestrator/fleet/script.ts';
import { connect } from '../../../orchestrator/redis/connect.ts';
import { isDemoted, judgeKeeping, type Keeping, keepingOf } from '../../../orchestrator/redis/external.ts';
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

function warnings() {
  const lines: string[] = [];
  const sink = new Writable({
    write: (chunk, _, done) => {
      lines.push(String(chunk));
      done();
    },
  });
  return { lines, log: pino({ level: 'warn' }, sink) };
}

test('an external Redis that may evict records is refused', async (t) => {
  const { url, paths } = await otherRedis(t, '--maxmemory', '100mb', '--maxmemory-policy', 'allkeys-lru');
  await t.throwsAsync(connect(paths, { url }), { code: 'REDIS_EVICTS' });
});

test('an external Redis without append-only file is used with a warning', async (t) => {
  const { url, paths } = await otherRedis(t, '--maxmemory-policy', 'noeviction', '--appendonly', 'no');
  const { log, lines } = warnings();
  const { redis, close } = await connect(paths, { url, log });
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
  const judge = (text: string) => judgeKeeping({ ...keepingOf(text), settings: KEEPS, replicated: false });
  t.deepEqual(judge(info), []);
  t.throws(() => judge(info.replace('master', 'slave')), { code: 'REDIS_READ_ONLY' });
  t.throws(() => judge(''), { code: 'REDIS_EVICTS' });
});

const KEEPS = { appendfsync: 'always', 'no-appendfsync-on-rewrite': 'no', 'min-replicas-to-write': '1' };

test('each way to lose what was acknowledged is a warning of its own', (t) => {
  const good: Keeping = {
    policy: 'noeviction',
    maxmemory: 0,
    aof: true,
    role: 'master',
    settings: KEEPS,
    replicated: true,
  };
  t.deepEqual(judgeKeeping(good), []);
  const says = (change: Partial<Keeping>, word: string) => {
    const warnings = judgeKeeping({ ...good, ...change });
    t.is(warnings.length, 1, word);
    t.true(warnings[0]?.includes(word), warnings[0]);
  };
  says({ aof: false }, `'appendonly no'`);
  says({ settings: { ...KEEPS, appendfsync: 'everysec' } }, `'appendfsync everysec'`);
  says({ settings: { ...KEEPS, appendfsync: 'no' } }, `'appendfsync no'`);
  says({ settings: {} }, 'does not show');
  says({ settings: { ...KEEPS, 'no-appendfsync-on-rewrite': 'yes' } }, 'no-appendfsync-on-rewrite');
  says({ settings: { ...KEEPS, 'min-replicas-to-write': '0' } }, 'min-replicas-to-write');
  t.deepEqual(
    judgeKeeping({ ...good, replicated: false, settings: { ...KEEPS, 'min-replicas-to-write': '0' } }),
    [],
    'one that has no replicas cannot be cut off from them',
  );
});

test('an external Redis that syncs once a second is used with a warning', async (t) => {
  const { url, paths } = await otherRedis(
    t,
    ...['--maxmemory-policy', 'noeviction', '--appendonly', 'yes', '--appendfsync', 'everysec'],
  );
  const { log, lines } = warnings();
  const { close } = await connect(paths, { url, log });
  await close();
  t.true(lines.some((line) => line.includes(`appendfsync everysec`)));
});

test('a master that became a replica is left, and the command goes to the one that is master', async (t) => {
  const { url, paths } = await otherRedis(
    t,
    ...['--maxmemory-policy', 'noeviction', '--appendonly', 'yes', '--appendfsync', 'always'],
  );
  const { redis, close } = await connect(paths, { url });
  const operator = new Redis({ path: url });
  t.teardown(async () => {
    await close();
    operator.disconnect();
  });
  const write = script<string>(`return redis.call('SET', KEYS[1], ARGV[1])`);
  await redis.set('before', '1');
  await operator.replicaof('127.0.0.1', 1);
  const commands = Promise.all([redis.set('plain', '1'), write(redis, ['scripted'], ['1'])]);
  // Here it is the same server that becomes master again; what matters is that a new connection was made to ask.
  await Promise.race([once(redis, 'close'), commands]);
  await operator.replicaof('NO', 'ONE');
  await commands;
  t.deepEqual(await operator.mget('before', 'plain', 'scripted'), ['1', '1', '1']);
});

test('what Redis says of a command it will not take as a replica is told from other refusals', (t) => {
  const demoted = (message: string) => isDemoted(new Error(message));
  t.true(demoted(`READONLY You can't write against a read only replica.`));
  t.true(
    demoted(`READONLY You can't write against a read only replica. script: 5bf9, on @user_script:1.`),
    'of Redis 7',
  );
  t.true(
    demoted(`ERR Error running script (call to f_5bf9): @user_script:1: -READONLY You can't write against`),
    'of Redis 6',
  );
  t.true(demoted('UNBLOCKED force unblock from blocking operation, instance state changed'));
  t.false(demoted('NOREPLICAS Not enough good replicas to write.'));
  t.false(demoted('ERR READONLY is no command'));
});
