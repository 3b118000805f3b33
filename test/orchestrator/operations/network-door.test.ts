/** The door for people elsewhere: real TLS on loopback, certificates of this fleet and of others. */
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect, createServer } from 'node:tls';
import test, { type ExecutionContext } from 'ava';
import { z } from 'zod';
import type { DataPaths } from '../../../base/paths.ts';
import { loadAuthority, rootPem, spkiOf } from '../../../keys/authority.ts';
import { readCredential } from '../../../keys/credential.ts';
import type { AuthorityName } from '../../../keys/layout.ts';
import { ask } from '../../../orchestrator/operations/client.ts';
import { MOST_ASK } from '../../../orchestrator/operations/lines.ts';
import { MOST_OF_ONE, openNetworkDoor } from '../../../orchestrator/operations/network-door.ts';
import { type Operation, operation } from '../../../orchestrator/operations/operation.ts';
import { remoteWay } from '../../../orchestrator/operations/remote.ts';
import { OperatorRegister } from '../../../orchestrator/operators/register.ts';
import { serverIdentity } from '../../../orchestrator/up/server-certificate.ts';
import { SERVER_NAME } from '../../../protocol/enrolment/messages.ts';
import { keysIn } from '../../support/keys.ts';
import { redisFor } from '../fleet/support.ts';
import { operatorOf } from '../operators/people.ts';
import { houseOf } from './support.ts';

const HOUR = 3600_000;

async function elsewhere(t: ExecutionContext) {
  const { paths } = await redisFor(t);
  await keysIn(paths.keys);
  const house: Awaited<ReturnType<typeof houseOf>> = await houseOf(t, paths);
  const shows: ((shown: { key: KeyObject; chainPem: string }) => void)[] = [];
  let identity = await serverIdentity(await loadAuthority(paths.keys, 'servers'), null);
  const stop = new AbortController();
  const root = await rootPem(paths.keys);
  const { port, done } = await openNetworkDoor(
    { ...house, signal: stop.signal, find: (name) => house.find(name) },
    {
      port: 0,
      rootPem: root,
      identity: { current: () => identity, onChange: (show) => void shows.push(show) },
    },
  );
  t.teardown(async () => {
    stop.abort();
    await done;
  });
  const rootFile = join(paths.root, 'root.pem');
  await writeFile(rootFile, root);
  /** As one file of an operator makes them known, to this port or another. */
  const caller = async (as: string, at = port) => {
    const way = await remoteWay({ url: `https://127.0.0.1:${at}`, as, root: rootFile });
    const credential = await readCredential(as);
    return (operation: string, input: unknown) => ask(way, { credential }, operation, input);
  };
  const renew = async () => {
    identity = await serverIdentity(await loadAuthority(paths.keys, 'servers'), null);
    for (const show of shows) show(identity);
  };
  return { paths, port, caller, renew, rootFile, house };
}

/** Certificate and key of what is no operator, in one file. */
async function leafOf(
  paths: DataPaths,
  ca: AuthorityName,
  usage: 'client' | 'server',
  name: string = SERVER_NAME,
) {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const authority = await loadAuthority(paths.keys, ca);
  const { pem } = authority.issue({
    ...{ spki: spkiOf(privateKey), commonName: 'x', usage, dnsNames: [name] },
    ...{ notBefore: new Date(Date.now() - HOUR), notAfter: new Date(Date.now() + HOUR) },
  });
  const key = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
  const file = join(paths.root, `${ca}-${usage}.pem`);
  await writeFile(file, key + pem + authority.chainPem, { mode: 0o600 });
  return { file, key, chain: pem + authority.chainPem };
}

test('who has a certificate does from elsewhere what their role may, until it is revoked: at the next ask', async (t) => {
  const { paths, caller } = await elsewhere(t);
  const { file, serial } = await operatorOf(paths, { name: 'ann' }, Date.now());
  const ann = await caller(file);
  t.like(await ann('site add', { name: 'munich', policy: {} }), { result: { name: 'munich' } });
  const { result } = (await ann('audit list', { last: 1 })) as { result: object[] };
  t.like(result[0], { actor: 'operator:ann', action: 'site-add', certificate: serial });
  await t.throwsAsync(ann('keys ca prepare', { ca: 'nodes', reason: 'x', force: false }), {
    code: 'OPERATOR_ROLE',
  });
  await t.throwsAsync(ann('image withdraw', { version: '1', reason: 'x', keys: ['/media'] }), {
    code: 'OPERATION_HOST',
  });
  await new OperatorRegister(paths.keys).revoke(serial, { by: 'x', at: Date.now(), reason: 'left' });
  await t.throwsAsync(ann('site list', {}), { code: 'OPERATOR_REVOKED', message: /left/ });
});

test('a claim to be somebody else is not heard: the certificate of the connection counts', async (t) => {
  const { paths, port, rootFile } = await elsewhere(t);
  const { file } = await operatorOf(paths, { name: 'vera', role: 'viewer' }, Date.now());
  const pem = await readFile(file, 'utf8');
  const socket = connect({
    ...{ host: '127.0.0.1', port, key: pem, cert: pem, ca: await readFile(rootFile, 'utf8') },
    servername: SERVER_NAME,
  });
  let told = '';
  socket.setEncoding('utf8').on('data', (text: string) => {
    told += text;
  });
  socket.write(
    `${JSON.stringify({ operation: 'site add', input: { name: 'x', policy: {} }, by: { user: 'root' } })}\n`,
  );
  while (told.split('\n').length < 3) await new Promise((resolve) => setTimeout(resolve, 5));
  t.regex(told, /OPERATOR_ROLE/);
  socket.destroy();
});

test('who has no certificate of an operator of this fleet is told nothing', async (t) => {
  const { paths, caller, port, rootFile } = await elsewhere(t);
  const other = await redisFor(t);
  await keysIn(other.paths.keys, 'theirs');
  const stranger = await operatorOf(other.paths, { name: 'ann', role: 'admin' }, Date.now());
  const node = await leafOf(paths, 'nodes', 'client');
  for (const file of [node.file, stranger.file]) {
    const error = await t.throwsAsync((await caller(file))('site list', {}));
    t.true(['SERVER_SILENT', 'SERVER_UNREACHABLE'].includes((error as { code?: string }).code ?? ''), file);
  }
  const bare = connect({
    ...{ host: '127.0.0.1', port, ca: await readFile(rootFile, 'utf8'), servername: SERVER_NAME },
  });
  const told: Buffer[] = [];
  const refused = new Promise<{ code?: string }>((resolve) => bare.on('error', resolve));
  bare.on('data', (bytes: Buffer) => told.push(bytes));
  t.is((await refused).code, 'ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED', 'by TLS itself');
  t.is(Buffer.concat(told).length, 0);
  // One that is not in the register is an operator whom nobody gave a certificate.
  const registered = await operatorOf(paths, { name: 'bob' }, Date.now());
  await writeFile(new OperatorRegister(paths.keys).path, '');
  await t.throwsAsync((await caller(registered.file))('site list', {}), { code: 'OPERATOR_UNKNOWN' });
});

test('nothing but a server of this fleet is asked: not a node, not an operator, not another fleet', async (t) => {
  const { paths, caller } = await elsewhere(t);
  const { file } = await operatorOf(paths, { name: 'ann' }, Date.now());
  const other = await redisFor(t);
  await keysIn(other.paths.keys, 'theirs');
  for (const [from, ca, usage, name] of [
    [paths, 'servers', 'server', 'boot.example.net'],
    [paths, 'nodes', 'server'],
    [paths, 'operators', 'server'],
    [paths, 'servers', 'client'],
    [other.paths, 'servers', 'server'],
  ] as const) {
    const { key, chain } = await leafOf(from, ca, usage, name);
    let asked = '';
    const server = createServer({ key, cert: chain }, (socket) => {
      socket
        .on('error', () => {})
        .on('data', (bytes: Buffer) => {
          asked += bytes.toString();
        });
      socket.write('{"protocol":"bootwave operations 1","nonce":"00"}\n');
    });
    server.on('tlsClientError', () => {});
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    t.teardown(() => void server.close());
    const { port } = server.address() as { port: number };
    await t.throwsAsync(
      (await caller(file, port))('site list', {}),
      { code: 'SERVER_NOT_TRUSTED' },
      `${ca} ${usage}`,
    );
    t.is(asked, '', 'nothing was sent to it');
  }
});

test('a server that shows another identity is asked on', async (t) => {
  const { paths, caller, renew, port, rootFile } = await elsewhere(t);
  const ann = await caller((await operatorOf(paths, { name: 'ann' }, Date.now())).file);
  const shown = async () => {
    const ca = await readFile(rootFile, 'utf8');
    const socket = connect({ host: '127.0.0.1', port, ca, servername: SERVER_NAME });
    socket.on('error', () => {});
    await new Promise((resolve) => socket.once('secureConnect', resolve));
    const { fingerprint256 } = socket.getPeerCertificate();
    socket.destroy();
    return fingerprint256;
  };
  await ann('site list', {});
  const before = await shown();
  await renew();
  t.not(await shown(), before);
  t.true('result' in (await ann('site list', {})));
});

test('an address that is none, a root that is missing, nobody there', async (t) => {
  const { paths, rootFile } = await elsewhere(t);
  const { file: as } = await operatorOf(paths, { name: 'ann' }, Date.now());
  for (const url of ['http://a:1', 'a', '', 'https://', 'https://a:99999', 'https://a/b', 'https://u@a'])
    await t.throwsAsync(remoteWay({ url, as, root: rootFile }), { code: 'SERVER_URL' }, url);
  const url = 'https://127.0.0.1:1';
  await t.throwsAsync(remoteWay({ url, as }), { code: 'SERVER_ROOT' }, 'the file has no root in it');
  await t.throwsAsync(remoteWay({ url, as, root: `${rootFile}.none` }), { code: 'SERVER_ROOT' });
  const way = await remoteWay({ url, as, root: rootFile });
  await t.throwsAsync(way.open(), { code: 'SERVER_UNREACHABLE' });
});

test('a port that is taken is refused by its code', async (t) => {
  const { paths, port, house } = await elsewhere(t);
  const current = await serverIdentity(await loadAuthority(paths.keys, 'servers'), null);
  const identity = { current: () => current, onChange: () => {} };
  const root = await rootPem(paths.keys);
  await t.throwsAsync(openNetworkDoor(house, { port, identity, rootPem: root }), { code: 'OPERATORS_PORT' });
});

/** A connection as a person makes it who writes their own client. */
async function rawly(
  t: ExecutionContext,
  { paths, port, rootFile }: Pick<Awaited<ReturnType<typeof elsewhere>>, 'paths' | 'port' | 'rootFile'>,
) {
  const { file } = await operatorOf(
    paths,
    { name: 'eve', role: 'slice-owner', slices: ['probe'] },
    Date.now(),
  );
  const pem = await readFile(file, 'utf8');
  const ca = await readFile(rootFile, 'utf8');
  const socket = connect({ host: '127.0.0.1', port, key: pem, cert: pem, ca, servername: SERVER_NAME });
  socket.on('error', () => {});
  t.teardown(() => socket.destroy());
  await new Promise((resolve) => socket.once('data', resolve));
  return socket;
}

test('who asks and does not read, or asks much at once, has the server keep little for them', async (t) => {
  const world = await elsewhere(t);
  const { house } = world;
  let asked = 0;
  let hold: Promise<void> = Promise.resolve();
  const long = operation({
    ...{ name: 'long', help: 'x', who: 'anyone', input: z.object({}), result: z.string() },
    act: async () => async () => {
      asked += 1;
      await hold;
      return 'x'.repeat(2 ** 22);
    },
  }) as Operation;
  house.find = () => long;
  const line = `${JSON.stringify({ operation: 'long', input: {} })}\n`;
  const deaf = await rawly(t, world);
  deaf.pause();
  for (let i = 0; i < 16; i += 1) deaf.write(line);
  while (asked === 0) await sleep(5);
  await sleep(1000);
  t.true(asked < 5, `${asked} answers lie there`);
  let read = 0;
  deaf.on('data', (bytes: Buffer) => {
    read += bytes.length;
  });
  deaf.resume();
  while (read < 16 * 2 ** 22) await sleep(5);
  t.is(asked, 16, 'who reads again is answered again');
  deaf.destroy();

  const release = Promise.withResolvers<void>();
  hold = release.promise;
  const much = await rawly(t, world);
  const closed = new Promise((resolve) => much.once('close', resolve));
  let sent = 0;
  const big = `${JSON.stringify({ operation: 'long', input: { x: 'x'.repeat(MOST_ASK - 100) } })}\n`;
  void (async () => {
    for (; !much.destroyed && sent < 16; sent += 1) await new Promise((resolve) => much.write(big, resolve));
  })();
  await closed;
  t.true(sent < 8, `${sent} requests of ${big.length} bytes were kept`);
  release.resolve();
});

test('who holds as many connections as one person may have keeps nobody else out', async (t) => {
  const { paths, caller, port, rootFile } = await elsewhere(t);
  const { file } = await operatorOf(paths, { name: 'mal' }, Date.now());
  const { file: other } = await operatorOf(paths, { name: 'ann' }, Date.now());
  const credential = await readFile(file, 'utf8');
  const ca = await readFile(rootFile, 'utf8');
  let gone = 0;
  const open = () =>
    new Promise<void>((resolve) => {
      const options = {
        host: '127.0.0.1',
        port,
        key: credential,
        cert: credential,
        ca,
        servername: SERVER_NAME,
      };
      const socket = connect(options);
      // The greeting of the door, or its end.
      socket.once('data', () => resolve()).on('error', () => {});
      socket.once('close', () => {
        gone += 1;
        resolve();
      });
      t.teardown(() => socket.destroy());
    });
  for (let i = 0; i < MOST_OF_ONE + 3; i += 1) await open();
  t.is(gone, 3);
  await t.throwsAsync((await caller(file))('site list', {}), { code: 'SERVER_SILENT' });
  t.like(await (await caller(other))('site list', {}), { result: [{ name: 'default' }] });
});
