/** A person at the serial console of a node: the real doors, `ipmi_sim`, and a serial port that is TCP, as in a lab. */
import { spawn } from 'node:child_process';
import { createHash, generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import ssh2 from 'ssh2';
import { run } from '../../../base/run.ts';
import { loadAuthority, rootPem } from '../../../keys/authority.ts';
import { readCredential } from '../../../keys/credential.ts';
import { serveSshConsole } from '../../../lab/bmc/ssh-console.ts';
import { ask, type Caller, socketOf, type Way } from '../../../orchestrator/operations/client.ts';
import { openNetworkDoor } from '../../../orchestrator/operations/network-door.ts';
import { remoteWay } from '../../../orchestrator/operations/remote.ts';
import { OperatorRegister } from '../../../orchestrator/operators/register.ts';
import type { Kind } from '../../../orchestrator/power/bmc.ts';
import { serverIdentity } from '../../../orchestrator/up/server-certificate.ts';
import { keysIn } from '../../support/keys.ts';
import { certificateFor, enrolment, fleetFor, inventory } from '../fleet/support.ts';
import { operatorOf } from '../operators/people.ts';
import { bench, PASSWORD, SWITCH, USER } from '../power/benches.ts';
import { doorOf, houseOf } from './support.ts';

/** A machine's serial port: it says back what it is told, in angle brackets. */
async function serialPort(t: ExecutionContext) {
  const sockets: Socket[] = [];
  let told = '';
  const server = createServer((socket) => {
    sockets.push(socket);
    socket
      .on('error', () => {})
      .on('data', (bytes) => {
        told += bytes.toString('latin1');
        socket.write(`<${bytes.toString('latin1')}>`);
      });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const say = async (text: string) => {
    while (sockets.length === 0) await sleep(20);
    sockets.at(-1)?.write(text);
  };
  return { port: (server.address() as { port: number }).port, say, told: () => told };
}

/** One person at a time for each node, of all that this process serves. */
let members = 0;

/** A member with a BMC of its own, behind the door of a server. */
async function standing(t: ExecutionContext, serial = true, kind: Kind = 'ipmi') {
  const { fleet, directory, clock, paths, by } = await fleetFor(t);
  clock.now = Date.now();
  await keysIn(paths.keys);
  // Of the test that had this server before.
  await rm(paths.consoles, { recursive: true, force: true });
  await doorOf(t, paths);
  members += 1;
  const machine = enrolment(members, 1, { inventory: inventory(members, SWITCH) });
  await directory.enrol(machine);
  await fleet.approve(machine.id, machine.words, by());
  await directory.enrol(machine);
  await directory.recordCertificate(machine.id, certificateFor(machine));
  const port = await serialPort(t);
  const login = { user: USER, password: PASSWORD };
  const board = await bench(t, kind, login, serial ? port.port : undefined);
  const way = socketOf(paths);
  const { host, port: at, pin } = board.access;
  const pinned = pin === null ? {} : { pin };
  const input = { node: machine.id, kind, address: `${host}:${at}`, ...pinned, ...login };
  await ask(way, { credential: null }, 'node bmc set', input);
  const history = async () =>
    (await fleet.audit.read({ node: machine.id }))
      .filter(({ action }) => action === 'console')
      .map(({ actor, reason }) => `${actor} ${reason}`);
  const set = () => ask(way, { credential: null }, 'node bmc set', input);
  return { fleet, paths, way, node: machine.id, port, board, history, set };
}

/** Somebody sits down. */
function sits(
  way: Way,
  node: string,
  { take = false, credential = null }: Partial<Caller & { take: boolean }> = {},
) {
  let seen = '';
  const opened = Promise.withResolvers<Duplex>();
  const onOpened = (_: object, bytes: Duplex) => {
    bytes.on('data', (came: Buffer) => {
      seen += came.toString('latin1');
    });
    opened.resolve(bytes);
  };
  const over = ask(way, { credential, onOpened }, 'node console', { node, take }) as Promise<{
    result: { why: string; typed: number; transcript: string; sha256: string };
  }>;
  over.catch(opened.reject);
  opened.promise.catch(() => {});
  const sees = async (text: string) => {
    while (!seen.includes(text)) await sleep(10);
  };
  return { opened: opened.promise, over, sees, seen: () => seen };
}

test('what it shows is seen and recorded, what is typed reaches the machine and no transcript; the history has the hash', async (t) => {
  const { paths, way, node, port, history } = await standing(t);
  const ann = sits(way, node);
  const bytes = await ann.opened;
  await port.say('login: \x1b[1mweb1\x1b[0m café\r\n');
  await ann.sees('web1');
  // What ipmitool would take for a command to itself reaches the machine, or, with Ctrl-], nobody.
  bytes.write('hello\r~.\r~B\x1d.\r\x1d?x');
  await ann.sees('?x');
  bytes.end();
  const { result } = await ann.over;
  t.is(result.why, 'the person left');
  t.is(port.told(), 'hello\r~.\r~B.\r?x');
  const file = await readFile(join(paths.consoles, result.transcript));
  t.is(createHash('sha256').update(file).digest('hex'), result.sha256);
  const [head, ...lines] = file
    .toString()
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  t.like(head, { version: 2 });
  t.regex(head.title, /^console of node-\S+, for operator:\S+ from this machine$/);
  t.true(lines.every(([, kind]) => kind === 'o'));
  const shown = lines.map(([, , text]) => text).join('');
  t.true(shown.startsWith('login: \x1b[1mweb1\x1b[0m café\r\n'));
  const told = await history();
  t.is(told.length, 2);
  t.regex(told[0]!, new RegExp(`^operator:\\S+ opened from this machine; ${result.transcript}$`));
  t.regex(told[1]!, new RegExp(`over: the person left; 17 bytes typed; .* SHA-256 ${result.sha256}$`));
});

test('one at a time: another person is told who has it, and takes it if they say so', async (t) => {
  const { way, node, port, history } = await standing(t);
  const first = sits(way, node);
  await first.opened;
  const refused = { code: 'CONSOLE_TAKEN', message: /operator:\S+ has the console/ };
  await t.throwsAsync(sits(way, node).over, refused);
  const second = sits(way, node, { take: true });
  await second.opened;
  t.regex((await first.over).result.why, /^operator:\S+ took it$/);
  await port.say('for the second');
  await second.sees('for the second');
  t.false(first.seen().includes('second'));
  (await second.opened).end();
  t.is((await second.over).result.why, 'the person left');
  t.is((await history()).length, 4);
});

test('a session that another program has is named, and ended if somebody says so', async (t) => {
  const { way, node, board, history } = await standing(t);
  const { host, port, user, password } = board.access;
  const stop = new AbortController();
  const args = ['-I', 'lanplus', '-C', '3', '-H', host, '-p', `${port}`, '-U', user, '-E', 'sol', 'activate'];
  const env = { ...process.env, IPMI_PASSWORD: password };
  const other = spawn('ipmitool', args, { env, signal: stop.signal });
  other.on('error', () => {});
  t.teardown(() => stop.abort());
  await once(other.stderr, 'data');
  await t.throwsAsync(sits(way, node).over, { code: 'CONSOLE_TAKEN', message: /somebody else has/ });
  t.regex((await history())[1]!, /over: CONSOLE_TAKEN/);
  const ann = sits(way, node, { take: true });
  (await ann.opened).end();
  await ann.over;
});

test('who is revoked while they sit there is out; the password is in no argument', async (t) => {
  const { paths, way, node } = await standing(t);
  const { file, serial } = await operatorOf(paths, { name: 'ann' }, Date.now());
  const ann = sits(way, node, { credential: await readCredential(file) });
  await ann.opened;
  const { stdout } = await run('ps', ['-eo', 'args']);
  t.regex(stdout, /ipmitool .*sol activate/);
  t.false(stdout.includes(PASSWORD));
  await new OperatorRegister(paths.keys).revoke(serial, { by: 'x', at: Date.now(), reason: 'left' });
  t.regex((await ann.over).result.why, /OPERATOR_REVOKED/);
});

test('a site admin whose node goes to another site is out', async (t) => {
  const { fleet, paths, way, node } = await standing(t);
  const at = Date.now();
  const { site } = await fleet.nodes.resolve(node);
  const claim = { name: 'sam', role: 'site-admin', sites: [site] } as const;
  const { file } = await operatorOf(paths, claim, at);
  const sam = sits(way, node, { credential: await readCredential(file) });
  await sam.opened;
  await fleet.sites.add('rome', {}, { actor: 'operator:x', at });
  await ask(way, { credential: null }, 'node set', { nodes: [node], change: { site: 'rome' } });
  t.regex((await sam.over).result.why, /OPERATOR_SITE/);
});

test('a viewer, or a site admin of elsewhere, sees nothing of it and leaves no trace but the refusal', async (t) => {
  const { paths, way, node, history } = await standing(t);
  for (const [name, role, code] of [
    ['vera', 'viewer', 'OPERATOR_ROLE'],
    ['sam', 'site-admin', 'OPERATOR_SITE'],
  ] as const) {
    const sites = role === 'viewer' ? [] : ['rome'];
    const { file } = await operatorOf(paths, { name, role, sites }, Date.now());
    await t.throwsAsync(sits(way, node, { credential: await readCredential(file) }).over, { code });
  }
  t.deepEqual(await history(), []);
  await t.throwsAsync(readdir(paths.consoles), { code: 'ENOENT' });
});

test('from elsewhere, over the door for operators; the history has from where', async (t) => {
  const { paths, node, port, history } = await standing(t);
  const identity = await serverIdentity(await loadAuthority(paths.keys, 'servers'), null);
  const root = await rootPem(paths.keys);
  const stop = new AbortController();
  const door = await openNetworkDoor(
    { ...(await houseOf(t, paths)), signal: stop.signal },
    { port: 0, rootPem: root, identity: { current: () => identity, onChange: () => {} } },
  );
  t.teardown(async () => {
    stop.abort();
    await door.done;
  });
  const { file } = await operatorOf(paths, { name: 'ann' }, Date.now());
  const rootFile = join(paths.root, 'root.pem');
  await writeFile(rootFile, root);
  const way = await remoteWay({ url: `https://127.0.0.1:${door.port}`, as: file, root: rootFile });
  const ann = sits(way, node, { credential: await readCredential(file) });
  const bytes = await ann.opened;
  // More than sockets keep on their way.
  await port.say('x'.repeat(3_000_000));
  await port.say('the end');
  await ann.sees('the end');
  t.is(ann.seen().length, 3_000_007);
  bytes.end();
  t.is((await ann.over).result.why, 'the person left');
  t.regex((await history())[0]!, /^operator:ann opened from \S*127\.0\.0\.1; /);
});

test('as a command: keys go in, the screen comes out without what steers a terminal, and the transcript is named', async (t) => {
  const { paths, node, port } = await standing(t);
  const child = spawn(join(import.meta.dirname, '../../../bin/bootwave'), [
    ...['--data', paths.root, 'node', 'console', node],
  ]);
  let [out, err] = ['', ''];
  child.stdout.on('data', (bytes: Buffer) => {
    out += bytes.toString();
  });
  child.stderr.on('data', (bytes: Buffer) => {
    err += bytes.toString();
  });
  while (!err.includes('Ctrl-] ends it')) await sleep(20);
  await port.say('\x1b]52;c;cm0gLXJmIC8=\x07\x1b[32mweb1\x1b[0m> ');
  child.stdin.write('ls\r');
  while (!out.includes('<ls')) await sleep(20);
  child.stdin.write('\x1d');
  const [code] = await once(child, 'close');
  t.is(code, 0, err);
  t.true(out.startsWith('\x1b[32mweb1\x1b[0m> <ls'));
  t.regex(out, /over: the person left\nrecorded as \S+\.cast, SHA-256 [0-9a-f]{64}\n$/);
});

test('a BMC without a serial console says so', async (t) => {
  const { way, node } = await standing(t, false);
  await t.throwsAsync(sits(way, node).over, { code: 'BMC_LACKS' });
});

test('a BMC that dies ends the session', async (t) => {
  const { way, node, board } = await standing(t);
  const ann = sits(way, node);
  await ann.opened;
  await board.stop();
  t.regex((await ann.over).result.why, /No response/);
});

test('redfish: the console by SSH, through the same door: seen, recorded, typed; its host key is pinned when it is seen first', async (t) => {
  const { paths, way, node, port, history } = await standing(t, true, 'redfish');
  const ann = sits(way, node);
  const bytes = await ann.opened;
  await port.say('login: web1\r\n');
  await ann.sees('web1');
  bytes.write('hello\r');
  await ann.sees('<hello');
  bytes.end();
  const { result } = await ann.over;
  t.is(port.told(), 'hello\r');
  const file = await readFile(join(paths.consoles, result.transcript));
  t.is(createHash('sha256').update(file).digest('hex'), result.sha256);
  t.true(file.toString().includes('web1'));
  const told = await history();
  t.is(told.length, 3);
  t.regex(told[1]!, /its SSH host key SHA256:[A-Za-z0-9+/]{43} was seen first/);
  const again = sits(way, node);
  (await again.opened).end();
  await again.over;
  t.is((await history()).length, 5, 'it is known already');
});

test('redfish: another host key gets no password, until a person sets the BMC again', async (t) => {
  const { way, node, board, port, set } = await standing(t, true, 'redfish');
  const first = sits(way, node);
  (await first.opened).end();
  await first.over;
  const at = board.ssh!.port;
  board.ssh!.close();
  const key = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({
    type: 'pkcs8',
    format: 'pem',
  });
  const tries: string[] = [];
  const thief = await serveSshConsole({
    ...{ host: '127.0.0.1', port: at, key: Buffer.from(key), user: USER, serial: port.port },
    get password() {
      tries.push('asked');
      return PASSWORD;
    },
  });
  t.teardown(thief.close);
  await t.throwsAsync(sits(way, node).over, { code: 'BMC_PIN', message: /another SSH host key/ });
  t.deepEqual(tries, []);
  await set();
  const ann = sits(way, node);
  (await ann.opened).end();
  await ann.over;
  t.is(tries.length, 1);
});

test('redfish: a console that somebody else has, that takes another password, or that is not offered, is refused, each by its own code', async (t) => {
  const { way, node, board, port } = await standing(t, true, 'redfish');
  const other = new ssh2.Client();
  t.teardown(() => other.destroy());
  other.on('error', () => {});
  other.connect({ host: '127.0.0.1', port: board.ssh!.port, username: USER, password: PASSWORD });
  await once(other, 'ready');
  await new Promise((resolve) => other.shell(resolve));
  await t.throwsAsync(sits(way, node).over, { code: 'CONSOLE_TAKEN', message: /somebody else may have it/ });
  other.end();
  await once(other, 'close');
  const at = board.ssh!.port;
  board.ssh!.close();
  await t.throwsAsync(sits(way, node).over, { code: 'BMC_SILENT' });
  const key = await readFile(join(board.folder, 'key.pem'));
  const odd = await serveSshConsole({
    ...{ host: '127.0.0.1', port: at, key, user: USER, password: 'another', serial: port.port },
  });
  t.teardown(odd.close);
  await t.throwsAsync(sits(way, node).over, { code: 'BMC_LOGIN' });
  const without = await standing(t, false, 'redfish');
  await t.throwsAsync(sits(without.way, without.node).over, {
    code: 'BMC_LACKS',
    message: /no serial console by SSH/,
  });
});
