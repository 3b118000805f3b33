/** The door itself: the socket, its lines, who stands behind them, and what a caller learns when nobody answers. */
import { mkdir, stat, utimes, writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import { onLines } from '../../../base/lines.ts';
import { dataPaths } from '../../../base/paths.ts';
import { prove, readCredential } from '../../../keys/credential.ts';
import { ask, socketOf } from '../../../orchestrator/operations/client.ts';
import { openDoor, serve } from '../../../orchestrator/operations/door.ts';
import { doorFiles } from '../../../orchestrator/operations/files.ts';
import { nothing } from '../../../orchestrator/operations/input.ts';
import { MOST_ASK, PROTOCOL } from '../../../orchestrator/operations/lines.ts';
import { type Operation, operation, READ } from '../../../orchestrator/operations/operation.ts';
import { keysIn } from '../../support/keys.ts';
import { redisFor, silent, temporaryData } from '../fleet/support.ts';
import { operatorOf } from '../operators/people.ts';
import { doorOf, houseOf } from './support.ts';

const NOBODY = { credential: null };

/** A peer that says whatever it likes, and what it is told until it is hung up on. */
async function stranger(path: string) {
  const socket = connect(path);
  const told: ReturnType<typeof JSON.parse>[] = [];
  onLines(socket, 1 << 24, (line) => told.push(JSON.parse(line)));
  const closed = new Promise<void>(
    (resolve) => void socket.on('error', () => {}).on('close', () => resolve()),
  );
  await new Promise((resolve) => socket.once('connect', resolve));
  const until = async (count: number) => {
    while (told.length < count && !socket.destroyed) await new Promise((resolve) => setTimeout(resolve, 5));
  };
  return { socket, told, closed, until };
}

async function served(t: ExecutionContext) {
  const { paths, redis } = await redisFor(t);
  const door = await doorOf(t, paths);
  return { paths, redis, door, way: socketOf(paths), files: doorFiles(paths) };
}

test('what is asked is done in the name of whoever opened the socket, who is root or the owner', async (t) => {
  const { way, files } = await served(t);
  t.is((await stat(files.folder)).mode & 0o777, 0o700);
  t.is((await stat(files.socket)).mode & 0o777, 0o600);
  await ask(way, NOBODY, 'site add', { name: 'munich', policy: {} });
  const history = await ask(way, NOBODY, 'audit list', { last: 1 });
  t.regex(JSON.stringify(history), /"actor":"operator:[^"]+","action":"site-add"/);
});

test('an error keeps its code, what was left unchanged and what to do', async (t) => {
  const { way } = await served(t);
  await t.throwsAsync(ask(way, NOBODY, 'site show', { name: 'rome' }), {
    code: 'SITE_UNKNOWN',
    message: /there is no site 'rome'; nothing was changed; make it: bootwave site add rome/,
  });
});

test('with a certificate somebody is who it says, as long as it counts; its key has to be there', async (t) => {
  const { way, paths } = await served(t);
  await keysIn(paths.keys);
  const now = Date.now();
  const [ann, bob] = [
    await operatorOf(paths, { name: 'ann', role: 'viewer' }, now),
    await operatorOf(paths, { name: 'bob' }, now),
  ];
  const as = await readCredential(ann.file);
  const add = (credential: typeof as, name: string) =>
    ask(way, { credential }, 'site add', { name, policy: {} });
  await t.throwsAsync(add(as, 'munich'), { code: 'OPERATOR_ROLE', message: /operator:ann is viewer/ });
  await t.throwsAsync(add({ ...bob.credential, key: as.key }, 'munich'), { code: 'OPERATOR_PROOF' });
  await t.notThrowsAsync(add(bob.credential, 'munich'));

  // Heard once, a proof is of no use: the next connection has another nonce.
  const first = await stranger(doorFiles(paths).socket);
  await first.until(1);
  const certificate = bob.credential.certificate.toString();
  const nonce = Buffer.from(first.told[0].nonce, 'hex');
  const proof = prove(bob.credential.key, nonce).toString('base64');
  const line = JSON.stringify({ operation: 'site list', input: {}, by: { certificate, proof } });
  first.socket.write(`${line}\n`);
  await first.until(2);
  t.true(first.told[1].ok);
  const second = await stranger(doorFiles(paths).socket);
  second.socket.write(`${line}\n`);
  await second.until(2);
  t.is(second.told[1].error.code, 'OPERATOR_PROOF');
  for (const { socket } of [first, second]) socket.destroy();
});

test('several asks on one connection are answered in their order', async (t) => {
  const { files } = await served(t);
  const { socket, told, until } = await stranger(files.socket);
  const by = { user: 'root' };
  const names = ['a1', 'b2', 'c3'];
  for (const name of names)
    socket.write(`${JSON.stringify({ operation: 'site add', input: { name, policy: {} }, by })}\n`);
  await until(4);
  t.like(told[0], { protocol: PROTOCOL });
  t.deepEqual(
    told.slice(1).map(({ result }) => result.name),
    names,
  );
  socket.destroy();
});

test('what is not the protocol is hung up on, and others are answered all the same', async (t) => {
  const { files, way } = await served(t);
  const junk = fc.oneof(
    fc.string(),
    fc.json(),
    fc.jsonValue().map((input) => JSON.stringify({ operation: 'site list', input, more: 1 })),
    fc.jsonValue().map((by) => JSON.stringify({ operation: 'site list', input: {}, by })),
    fc.jsonValue().map((operation) => JSON.stringify({ operation, input: {} })),
    fc.jsonValue().map((signed) => JSON.stringify({ operation: 'ban lift', input: {}, signed })),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(junk, { minLength: 1, maxLength: 3 }), async (lines) => {
      const { socket, told, closed } = await stranger(files.socket);
      socket.end(lines.map((line) => `${line.replaceAll('\n', ' ')}\n`).join(''));
      await closed;
      return told.every((line) => line.protocol === PROTOCOL || line.ok !== undefined);
    }),
    { numRuns: 60 },
  );
  const long = await stranger(files.socket);
  long.socket.write('x'.repeat(MOST_ASK + 2));
  await long.closed;
  const many = await stranger(files.socket);
  many.socket.write('{"operation":"site list","input":{},"by":{"user":"x"}}\n'.repeat(100));
  await many.closed;
  t.true(many.told.length < 100, 'who asks a hundred things at once is not waited for');
  t.true('result' in (await ask(way, NOBODY, 'site list', {})));
});

test('without a server it is said since when nobody has listened, and no Redis is started', async (t) => {
  const paths = await temporaryData(t);
  const refused = () => ask(socketOf(paths), NOBODY, 'node list', {});
  await t.throwsAsync(refused(), { code: 'SERVER_NOT_RUNNING', message: /no server has listened .* yet/ });
  const door = await doorOf(t, paths);
  await t.notThrowsAsync(refused());
  await door.close();
  const { listened } = doorFiles(paths);
  const error = await t.throwsAsync(refused(), { code: 'SERVER_NOT_RUNNING' });
  t.true(error?.message.includes(`since ${(await stat(listened)).mtime.toISOString()}`), error?.message);
  const then = new Date('2026-01-02T03:04:05Z');
  await utimes(listened, then, then);
  await t.throwsAsync(refused(), { message: /since 2026-01-02T03:04:05\.000Z; .*start it: bootwave .* up/ });
});

test('a socket that was left behind by a server that was killed is nobody', async (t) => {
  const paths = await temporaryData(t);
  const { folder, socket } = doorFiles(paths);
  await mkdir(folder, { recursive: true });
  await writeFile(socket, '');
  await t.throwsAsync(ask(socketOf(paths), NOBODY, 'site list', {}), { code: 'SERVER_NOT_RUNNING' });
  await doorOf(t, paths);
  t.true('result' in (await ask(socketOf(paths), NOBODY, 'site list', {})));
});

test('of two servers one has the door, and the other one gets it when that one ends', async (t) => {
  const { paths, door, way } = await served(t);
  const house = await houseOf(t, paths);
  const stop = new AbortController();
  const second = await openDoor({ ...house, signal: stop.signal });
  t.true('result' in (await ask(way, NOBODY, 'site list', {})));
  await door.close();
  for (;;) {
    const answered = await ask(way, NOBODY, 'site list', {}).catch(() => null);
    if (answered !== null) break;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  stop.abort();
  await second.done;
  t.pass();
});

test('a path that no socket can have is refused before anything is opened', async (t) => {
  const house = await houseOf(t, await temporaryData(t));
  const paths = dataPaths(join('/tmp', 'x'.repeat(120)));
  await t.throwsAsync(openDoor({ ...house, paths }), { code: 'DATA_PATH_TOO_LONG' });
});

/** Something else at the door's place. */
async function pretender(t: ExecutionContext, say: string | null, after = '') {
  const paths = await temporaryData(t);
  const { folder, socket } = doorFiles(paths);
  await mkdir(folder, { recursive: true });
  const server = createServer((peer) => {
    peer.on('error', () => {});
    if (say === null) peer.end();
    else peer.write(`${say}\n`);
    peer.on('data', () => peer.end(after));
  });
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  t.teardown(() => void server.close());
  return socketOf(paths);
}

test('a server that ends in the middle, says nothing, or speaks another language is told apart', async (t) => {
  const greeting = JSON.stringify({ protocol: PROTOCOL, nonce: '00' });
  const asked = async (way: ReturnType<typeof socketOf>) =>
    ((await t.throwsAsync(ask(way, NOBODY, 'site list', {}))) as { code?: string }).code;
  t.is(await asked(await pretender(t, null)), 'SERVER_SILENT');
  t.is(await asked(await pretender(t, greeting)), 'SERVER_LOST');
  t.is(await asked(await pretender(t, 'HTTP/1.1 400 Bad Request')), 'SERVER_VERSION');
  t.is(await asked(await pretender(t, '{"protocol":"other"}')), 'SERVER_VERSION');
});

test('nobody signs what a server slips in instead of what they asked for', async (t) => {
  const { paths } = await redisFor(t);
  await keysIn(paths.keys);
  const { credential } = await operatorOf(paths, { name: 'ann' }, Date.now());
  const sign = (word: string, operation: string) => {
    const text = JSON.stringify({ operation, input: {}, actor: 'operator:ann' });
    return `${JSON.stringify({ ok: false, sign: { word, text, at: 1 } })}\n`;
  };
  const greeting = JSON.stringify({ protocol: PROTOCOL, nonce: '00' });
  for (const [asked, answer] of [
    ['ban lift', sign('ask', 'break-glass')],
    ['ban lift', sign('approve', 'ban lift')],
    ['site list', sign('approve', 'ban lift')],
  ] as const) {
    const way = await pretender(t, greeting, answer);
    await t.throwsAsync(ask(way, { credential }, asked, {}), { code: 'REQUEST_SIGNATURE' });
  }
});

test('a log of the door names no input', async (t) => {
  // What people type may be a secret; the history has what was done.
  const { paths } = await redisFor(t);
  const house = await houseOf(t, paths);
  const lines: unknown[] = [];
  const log = { ...silent, error: (...words: unknown[]) => void lines.push(words) } as typeof silent;
  const stop = new AbortController();
  const { fleet, bans } = await house.records();
  const sites = { get: () => Promise.reject(new Error('disk')) };
  const records = async () => ({ fleet: Object.assign(Object.create(fleet), { sites }), bans });
  const broken = { ...house, log, signal: stop.signal, records };
  const { done } = await openDoor(broken);
  t.teardown(async () => {
    stop.abort();
    await done;
  });
  await t.throwsAsync(ask(socketOf(paths), NOBODY, 'node list', { site: 'hush' }), { code: 'UNEXPECTED' });
  t.is(lines.length, 1);
  t.notRegex(JSON.stringify(lines), /hush/);
});

test('a connection that says nothing is closed, and not while something is done for it', async (t) => {
  const { paths } = await redisFor(t);
  const house = await houseOf(t, paths);
  let finish = () => {};
  const slow = operation({
    ...{ name: 'slow', help: 'takes its time', who: READ, input: nothing, result: nothing },
    act: async () => () =>
      new Promise((resolve) => {
        finish = () => resolve({});
      }),
  });
  const closed = Promise.withResolvers<void>();
  const answered = Promise.withResolvers<string>();
  let idles = 0;
  const server = createServer((socket) => {
    const identify = async () => ({ actor: 'operator:x', role: 'viewer' as const, sites: [] });
    serve(socket, { ...house, find: () => slow as Operation }, { identify, remote: false, idle: 100 });
    // It has been silent for so long while it waited: now it is answered.
    socket.on('timeout', () => {
      idles += 1;
      finish();
    });
  });
  const path = join(paths.root, 'slow.sock');
  await new Promise<void>((resolve) => server.listen(path, resolve));
  t.teardown(() => void server.close());
  const peer = connect(path);
  peer.on('close', () => closed.resolve());
  onLines(peer, 1 << 20, (line) => {
    if (line.includes('"ok"')) answered.resolve(line);
  });
  peer.write('{"operation":"slow","input":{}}\n');
  t.is(await answered.promise, '{"ok":true,"result":{}}');
  await closed.promise;
  t.true(idles >= 2, 'once while it waited, once when it had its answer');
});
