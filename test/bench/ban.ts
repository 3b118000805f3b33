/** From the command to refused, with 1,000 TLS connections open, against nginx that is given a new CRL and reloads. */
// The boot server is a process of its own with the fleet's records on a real Redis; the connections are held here.
// Refused means: the open connection of the banned node is closed, and a new one with its certificate is told no.
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash, createPrivateKey, generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { createLogger } from '../../base/log.ts';
import { dataPaths } from '../../base/paths.ts';
import { mustRun } from '../../base/run.ts';
import { startEnrolment } from '../../bootserver/enroll/server.ts';
import { Authority, loadAuthority, rootPem, spkiOf } from '../../keys/authority.ts';
import { toPem } from '../../keys/certificate.ts';
import { initKeys } from '../../keys/init.ts';
import { keyLayout } from '../../keys/layout.ts';
import { banNode } from '../../orchestrator/fleet/bans/act.ts';
import { DecisionJournal, journalFile } from '../../orchestrator/fleet/decisions/journal.ts';
import { DecisionKeeper } from '../../orchestrator/fleet/decisions/keeper.ts';
import { sealerOf, sealJudge } from '../../orchestrator/fleet/decisions/seal.ts';
import { watchDecisions } from '../../orchestrator/fleet/decisions/watch.ts';
import { FleetDirectory } from '../../orchestrator/fleet/directory.ts';
import { Fleet } from '../../orchestrator/fleet/fleet.ts';
import { find } from '../../orchestrator/operations/catalogue.ts';
import { openDoor } from '../../orchestrator/operations/door.ts';
import { connect } from '../../orchestrator/redis/connect.ts';
import { serverIdentity } from '../../orchestrator/up/server-certificate.ts';
import { NODE_URI, SERVER_NAME } from '../../protocol/enrolment/messages.ts';
import { anyImage } from '../orchestrator/fleet/any-image.ts';
import { freePort } from '../support/free-port.ts';

const CONNECTIONS = Number(process.env.BENCH_CONNECTIONS ?? 1000);
const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 9);
const DAY = 86_400_000;
const log = createLogger('bench', 'silent');
const REQUEST = 'GET /x HTTP/1.1\r\nHost: boot\r\n\r\n';

type Node = { id: string; serial: string; spkiDigest: string; key: string; chain: string };
type Measured = { cut: number; refused: number };

if (process.argv[2] === 'serve') await serve(process.argv[3] ?? '');
else await compare();

async function serve(root: string): Promise<void> {
  const paths = dataPaths(root);
  const stop = new AbortController();
  process.once('SIGTERM', () => stop.abort());
  const connection = await connect(paths, { url: '', signal: stop.signal });
  const fleet = new Fleet(connection.redis, sealerOf(paths.keys));
  const bans = await DecisionKeeper.open({
    fleet,
    journal: new DecisionJournal(journalFile(paths)),
    holds: async () => true,
    sealed: sealJudge(paths.keys),
    log,
  });
  await bans.look();
  const directory = new FleetDirectory({
    ...anyImage,
    fleet,
    site: 'default',
    defaultImage: async () => null,
    bans,
    log,
  });
  const identity = await serverIdentity(await loadAuthority(paths.keys, 'servers'), '127.0.0.1');
  const server = await startEnrolment({
    listen: { host: '127.0.0.1', port: 0 },
    serverKey: identity.key,
    serverChainPem: identity.chainPem,
    nodesAuthority: await loadAuthority(paths.keys, 'nodes'),
    rootPem: await rootPem(paths.keys),
    directory,
    bans,
    log,
    heartbeatSeconds: 30,
    signal: stop.signal,
  });
  const watching = watchDecisions(bans, fleet, { signal: stop.signal, log });
  console.log(server.port);
  await Promise.all([server.closed, watching]);
  await connection.close();
}

async function compare(): Promise<void> {
  const root = await mkdtemp(join(tmpdir(), 'bootwave-bench-ban-'));
  const children: ChildProcess[] = [];
  try {
    const paths = dataPaths(root);
    await initKeys(paths.keys);
    const nodes = await issueAll(paths.keys);
    const connection = await connect(paths, { url: '' });
    const fleet = new Fleet(connection.redis, sealerOf(paths.keys));
    await enrolAll(fleet, nodes);
    const child = spawn(process.execPath, [fileURLToPath(import.meta.url), 'serve', root], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    children.push(child);
    const [port] = (await once(createInterface({ input: child.stdout! }), 'line')) as [string];
    const ca = await rootPem(paths.keys);

    const ours = await openAll(Number(port), ca, nodes);
    const by = () => ({ actor: 'operator:bench', at: Date.now() });
    const set = await fleet.decisionLog.set();
    const commit = await rounds(nodes.slice(0, ROUNDS), ours, Number(port), ca, ({ id }) =>
      banNode(fleet, set, id, 'bench', by()),
    );
    const program = fileURLToPath(new URL('../../bin/bootwave', import.meta.url));
    const stop = new AbortController();
    const journal = new DecisionJournal(join(root, 'door-bans.log'));
    const bans = await DecisionKeeper.open({
      fleet,
      journal,
      holds: async () => false,
      sealed: sealJudge(paths.keys),
      log,
    });
    const door = await openDoor({
      ...{ paths, log, signal: stop.signal, find, now: Date.now, newest: async () => null },
      wires: () => undefined,
      links: () => undefined,
      records: async () => ({ fleet, bans }),
    });
    const typed = await rounds(nodes.slice(ROUNDS, ROUNDS + 3), ours, Number(port), ca, ({ id }) =>
      mustRun(program, ['--data', root, 'ban', 'add', id, '--reason', 'bench'], {
        env: { ...process.env, BOOTWAVE_REDIS_URL: '' },
      }),
    );
    stop.abort();
    await door.done;
    const rest = nodes.slice(ROUNDS + 3);
    if (rest.some(({ id }) => ours.get(id)?.destroyed !== false)) throw new Error('others were cut as well');
    const began = performance.now();
    const allCut = Promise.all(rest.map(({ id }) => once(ours.get(id)!, 'close')));
    await Promise.all(rest.map(({ id }) => banNode(fleet, set, id, 'bench', by())));
    await allCut;
    const all = performance.now() - began;
    await connection.close();

    const theirs = await nginx(root, nodes, ca, children);
    console.log(
      `${CONNECTIONS} open connections, median of ${ROUNDS} bans: connection cut after ${commit.cut.toFixed(0)} ms, a new one refused after ${commit.refused.toFixed(0)} ms (goal: under 1000); typed as a command, process start included: ${typed.refused.toFixed(0)} ms; ${rest.length} nodes banned one by one: all cut after ${all.toFixed(0)} ms`,
    );
    console.log(
      `peer nginx: CRL signed, written, -s reload: cut after ${theirs.cut.toFixed(0)} ms, and with it all other idle connections; refused after ${theirs.refused.toFixed(0)} ms`,
    );
    console.log(
      `bench ban ${commit.refused.toFixed(0)} ms vs nginx ${theirs.refused.toFixed(0)} ms ratio ${(commit.refused / theirs.refused).toFixed(2)}`,
    );
    if (commit.refused > 1000) process.exitCode = 1;
  } finally {
    for (const child of children) await end(child);
    await rm(root, { recursive: true, force: true });
  }
}

async function issueAll(keys: string): Promise<Node[]> {
  const authority = await loadAuthority(keys, 'nodes');
  return Array.from({ length: CONNECTIONS }, (_, n) => {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const id = `tpm-${sha256(`ek ${n}`)}`;
    const { pem, serial, spkiDigest } = authority.issue({
      spki: spkiOf(privateKey),
      commonName: `node-${n}`,
      uris: [`${NODE_URI}${id}`],
      usage: 'client',
      notBefore: new Date(Date.now() - DAY),
      notAfter: new Date(Date.now() + DAY),
    });
    const key = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
    return { id, serial, spkiDigest, key, chain: pem + authority.chainPem };
  });
}

/** Members with their certificates, as their enrolment would have left them. */
async function enrolAll(fleet: Fleet, nodes: readonly Node[]): Promise<void> {
  const directory = new FleetDirectory({
    ...anyImage,
    fleet,
    site: 'default',
    defaultImage: async () => null,
    log,
  });
  const words: [string, string, string, string] = ['a', 'b', 'c', 'd'];
  await Promise.all(
    nodes.map(async ({ id, serial, spkiDigest }, n) => {
      await directory.enrol({
        id,
        ekDigest: id.slice(4),
        akName: '000b',
        spkiDigest,
        hostKey: 'ssh-ed25519 AAAA',
        words,
        inventory: {
          ...{ uuid: `u${n}`, manufacturer: 'bench', product: 'bench', serial: `S${n}`, secureBoot: 'on' },
          firmware: { kind: 'uefi', vendor: '', version: '', date: '' },
          ...{ cpu: { model: '', threads: 1 }, memory: 1, nics: [], disks: [], tpm: null },
        },
        running: { version: '1.0', kernel: '6', bootId: 'b' },
        ...{ ekCertificate: null, pcrs: null, clock: null, firmware: null, token: null, nonceNumber: 1 },
        address: `10.0.${n >> 8}.${n & 255}`,
        at: Date.now(),
      });
      await fleet.approve(id, words, { actor: 'operator:bench', at: Date.now() });
      const certificate = { serial, spkiDigest, notBefore: Date.now(), notAfter: Date.now() + DAY };
      await directory.recordCertificate(id, certificate);
    }),
  );
}

/** A connection with one answer on it. */
async function open(port: number, ca: string, { key, chain }: Node): Promise<[TLSSocket, status: number]> {
  const options = { host: '127.0.0.1', port, servername: SERVER_NAME, ca, key, cert: chain };
  const socket = connectTls({ ...options, minVersion: 'TLSv1.3' });
  socket.on('error', () => {});
  socket.write(REQUEST);
  const closed = once(socket, 'close').then(() => {
    throw new Error('closed without an answer');
  });
  closed.catch(() => {});
  const [answer] = (await Promise.race([once(socket, 'data'), closed])) as [Buffer];
  socket.resume();
  return [socket, Number(/^HTTP\/1\.1 (\d+)/.exec(answer.toString())?.[1])];
}

async function openAll(port: number, ca: string, nodes: readonly Node[]): Promise<Map<string, TLSSocket>> {
  const sockets = new Map<string, TLSSocket>();
  for (let i = 0; i < nodes.length; i += 50) {
    await Promise.all(
      nodes.slice(i, i + 50).map(async (node) => sockets.set(node.id, (await open(port, ca, node))[0])),
    );
  }
  return sockets;
}

/** Bans one after the other; medians in milliseconds. */
async function rounds(
  victims: readonly Node[],
  sockets: ReadonlyMap<string, TLSSocket>,
  port: number,
  ca: string,
  ban: (node: Node) => Promise<unknown>,
): Promise<Measured> {
  const measured: Measured[] = [];
  for (const node of victims) {
    const began = performance.now();
    const cut = once(sockets.get(node.id)!, 'close').then(() => performance.now() - began);
    await ban(node);
    for (;;) {
      const answer = await open(port, ca, node).catch(() => null);
      answer?.[0].destroy();
      if (answer !== null && (answer[1] === 403 || answer[1] === 400)) break;
    }
    measured.push({ refused: performance.now() - began, cut: await cut });
  }
  return median(measured);
}

function median(measured: readonly Measured[]): Measured {
  const middle = (of: keyof Measured) =>
    measured.map((one) => one[of]).toSorted((a, b) => a - b)[Math.floor(measured.length / 2)] ?? 0;
  return { cut: middle('cut'), refused: middle('refused') };
}

/** The same nodes and the same CA; what a ban is there: a list with one more entry, and a reload. */
async function nginx(
  root: string,
  nodes: readonly Node[],
  ca: string,
  children: ChildProcess[],
): Promise<Measured> {
  const keys = join(root, 'keys');
  const files = keyLayout(keys).ca;
  const authority = await loadAuthority(keys, 'nodes');
  const top = new Authority('nodes', ca, createPrivateKey(await readFile(files.root.key)));
  const identity = await serverIdentity(await loadAuthority(keys, 'servers'), '127.0.0.1');
  const at = (name: string) => join(root, name);
  await writeFile(at('nginx.pem'), identity.chainPem);
  await writeFile(at('nginx.key'), identity.key.export({ type: 'pkcs8', format: 'pem' }));
  await writeFile(at('nginx.ca'), ca + authority.chainPem);
  const banned: { serial: string; at: number }[] = [];
  const list = (who: Authority, revoked: typeof banned) =>
    toPem(
      'X509 CRL',
      who.revoke({
        number: BigInt(Date.now()),
        thisUpdate: new Date(Date.now() - 60_000),
        nextUpdate: new Date(Date.now() + DAY),
        revoked,
      }),
    );
  const publish = () => writeFile(at('nginx.crl'), list(authority, banned) + list(top, []));
  await publish();
  const port = await freePort();
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((kind) => `${kind}_temp_path ${at(kind)};`)
    .join(' ');
  const user = process.getuid?.() === 0 ? 'user root;' : '';
  await writeFile(
    at('nginx.conf'),
    `daemon off; ${user} worker_processes auto; pid ${at('nginx.pid')}; error_log stderr crit;
events { worker_connections 4096; }
http {
  access_log off; keepalive_timeout 3600; ${temporary}
  server {
    listen 127.0.0.1:${port} ssl; ssl_protocols TLSv1.3;
    ssl_certificate ${at('nginx.pem')}; ssl_certificate_key ${at('nginx.key')};
    ssl_client_certificate ${at('nginx.ca')}; ssl_crl ${at('nginx.crl')};
    ssl_verify_client on; ssl_verify_depth 3; return 200;
  }
}
`,
  );
  const args = ['-p', root, '-c', at('nginx.conf'), '-e', 'stderr'];
  children.push(spawn('nginx', args, { stdio: 'ignore' }));
  await reachable(port, ca, nodes[0]!);
  const measured: Measured[] = [];
  // Its reload closes every idle connection: they are all opened anew before each round.
  for (const node of nodes.slice(0, Math.min(ROUNDS, 5))) {
    const sockets = await openAll(port, ca, nodes.slice(measured.length));
    measured.push(
      await rounds([node], sockets, port, ca, async ({ serial }) => {
        banned.push({ serial, at: Date.now() });
        await publish();
        await mustRun('nginx', [...args, '-s', 'reload']);
      }),
    );
    for (const socket of sockets.values()) socket.destroy();
  }
  return median(measured);
}

async function reachable(port: number, ca: string, node: Node): Promise<void> {
  for (let attempt = 0; attempt < 200; attempt += 1) {
    const [socket, status] = await open(port, ca, node).catch(() => [null, 0] as const);
    socket?.destroy();
    if (status === 200) return;
    if (status !== 0) throw new Error(`nginx answers ${status}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error('nginx does not answer');
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGTERM');
  await once(child, 'exit');
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
