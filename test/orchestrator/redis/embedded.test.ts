import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import type { dataPaths } from '../../../base/paths.ts';
import { connect } from '../../../orchestrator/redis/connect.ts';
import { FileLock } from '../../../orchestrator/redis/lock.ts';
import { probe } from '../../../orchestrator/redis/probe.ts';
import { redisArguments, redisFiles } from '../../../orchestrator/redis/settings.ts';
import { keptLog } from '../../support/kept-log.ts';
import { redisFor, temporaryData } from '../fleet/support.ts';

const open = (paths: ReturnType<typeof dataPaths>) => connect(paths, { url: '' });

async function pidOf(redis: { info(part: string): Promise<string> }): Promise<number> {
  return Number(/process_id:(\d+)/.exec(await redis.info('server'))?.[1]);
}

async function isStopped(dir: string): Promise<boolean> {
  const lock = await FileLock.open(redisFiles(dir).serverLock);
  try {
    return await lock.exclusiveNow();
  } finally {
    await lock.close();
  }
}

function worker(t: ExecutionContext, root: string, ...args: string[]) {
  const program = join(import.meta.dirname, 'worker.ts');
  const child = spawn(process.execPath, [program, root, ...args], { stdio: ['ignore', 'ignore', 'inherit'] });
  t.teardown(() => child.kill('SIGKILL'));
  return once(child, 'exit') as Promise<[number | null, string | null]>;
}

test('keeps every acknowledged write, evicts nothing, opens no port, and is closed to others', async (t) => {
  const { redis, paths } = await redisFor(t);
  const setting = async (name: string) => ((await redis.config('GET', name)) as string[])[1];
  t.is(await setting('appendonly'), 'yes');
  t.is(await setting('appendfsync'), 'always');
  t.is(await setting('maxmemory-policy'), 'noeviction');
  t.is(await setting('port'), '0');
  t.is((await stat(paths.redis)).mode & 0o777, 0o700);
  t.is((await stat(redisFiles(paths.redis).socket)).mode & 0o777, 0o700);
});

test('closes a folder that was open', async (t) => {
  const paths = await temporaryData(t);
  await (await open(paths)).close();
  await chmod(paths.redis, 0o755);
  await (await open(paths)).close();
  t.is((await stat(paths.redis)).mode & 0o777, 0o700);
});

test('a second user adopts the running server; the last one out stops it', async (t) => {
  const paths = await temporaryData(t);
  const first = await open(paths);
  const second = await open(paths);
  t.is(await pidOf(second.redis), await pidOf(first.redis));
  await first.close();
  t.is(await second.redis.set('still', 'here'), 'OK');
  t.false(await isStopped(paths.redis));
  await second.close();
  t.true(await isStopped(paths.redis));
});

test('many processes at once share one server and none loses a write', async (t) => {
  const paths = await temporaryData(t);
  const ends = await Promise.all(['0', '150', '0', '60'].map((wait) => worker(t, paths.root, wait)));
  t.deepEqual(
    ends.map(([code]) => code),
    [0, 0, 0, 0],
  );
  t.true(await isStopped(paths.redis));
  const { redis, close } = await open(paths);
  t.is(await redis.get('counter'), '8');
  await close();
});

test('a user that was killed leaves a server that the next one adopts and stops', async (t) => {
  const paths = await temporaryData(t);
  const [, signal] = await worker(t, paths.root, '0', 'die');
  t.is(signal, 'SIGKILL');
  t.false(await isStopped(paths.redis));
  const { redis, close } = await open(paths);
  t.is(await redis.get('counter'), '2');
  await close();
  t.true(await isStopped(paths.redis));
});

test('a server killed between two commands comes back by itself with all it acknowledged', async (t) => {
  const { redis, paths } = await redisFor(t);
  await redis.set('kept', 'yes');
  const before = await pidOf(redis);
  process.kill(before, 'SIGKILL');
  // The socket and the pid file that it left behind are stale now.
  t.is(await redis.get('kept'), 'yes');
  t.not(await pidOf(redis), before);
  t.is((await probe(redisFiles(paths.redis).socket)).state, 'ready');
});

test('the log says that it came back after it was killed, and not that a connection was lost', async (t) => {
  const paths = await temporaryData(t);
  const { log, lines } = keptLog();
  const { redis, close } = await connect(paths, { url: '', log });
  t.teardown(close);
  const other = await open(paths);
  await other.redis.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
  await redis.ping();
  t.deepEqual(lines, []);
  await other.close();
  process.kill(await pidOf(redis), 'SIGKILL');
  await redis.ping();
  while (lines.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  t.deepEqual(
    lines.map(({ code }) => code),
    ['REDIS_RESTARTED'],
  );
});

test('a Redis that cannot be started again is told of a few times, however often it is tried', async (t) => {
  const paths = await temporaryData(t);
  const { log, lines } = keptLog();
  const { redis, close } = await connect(paths, { url: '', log });
  t.teardown(close);
  const before = await pidOf(redis);
  await writeFile(join(paths.redis, 'appendonlydir', 'appendonly.aof.manifest'), 'rubbish');
  process.kill(before, 'SIGKILL');
  while (lines.length < 5) await new Promise((resolve) => setTimeout(resolve, 20));
  await t.throwsAsync(redis.ping());
  t.deepEqual([...new Set(lines.map(({ code }) => code))], ['REDIS_ENDED']);
  t.is(lines.length, 5);
});

test('files left by a server that was killed do not stop the next one', async (t) => {
  const paths = await temporaryData(t);
  const first = await open(paths);
  await first.redis.set('kept', 'yes');
  const files = redisFiles(paths.redis);
  await first.close();
  // A pid file naming a living process that is not ours, and a socket that nobody listens on.
  await writeFile(files.pid, String(process.pid));
  await writeFile(files.socket, '');
  const second = await open(paths);
  t.is(await second.redis.get('kept'), 'yes');
  await second.close();
});

test('a Redis that serves other data on our socket is refused, not used', async (t) => {
  const paths = await temporaryData(t);
  const elsewhere = await temporaryData(t);
  await (await open(paths)).close();
  await (await open(elsewhere)).close();
  const files = redisFiles(elsewhere.redis);
  const socket = redisFiles(paths.redis).socket;
  const foreign = spawn('/usr/bin/redis-server', [...redisArguments(files), '--unixsocket', socket], {
    stdio: 'ignore',
  });
  t.teardown(() => foreign.kill('SIGKILL'));
  while ((await probe(socket)).state !== 'ready') await new Promise((resolve) => setTimeout(resolve, 10));
  await t.throwsAsync(open(paths), { code: 'REDIS_FOREIGN' });
});

test('a server that cannot start says why', async (t) => {
  const paths = await temporaryData(t);
  await (await open(paths)).close();
  await writeFile(
    join(paths.redis, 'appendonlydir', 'appendonly.aof.1.incr.aof'),
    '*2\r\n$3\r\nFOO\r\n$9\r\nnot redis\r\nrubbish that is no command\r\n',
  );
  await t.throwsAsync(open(paths), { code: 'REDIS_FAILED' });
});

test('a data directory whose socket path is too long is refused with the way out', (t) => {
  t.throws(() => redisFiles(`/tmp/${'x'.repeat(100)}/redis`), { code: 'DATA_PATH_TOO_LONG' });
  t.is(Buffer.byteLength(redisFiles(`/${'x'.repeat(95)}`).socket), 107);
});
