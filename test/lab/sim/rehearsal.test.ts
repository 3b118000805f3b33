/** A rehearsal with the documented commands, each a process of its own; and the walls between it and a real fleet. */
import { spawn } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { copyFile, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import test, { type ExecutionContext } from 'ava';
import { createLogger } from '../../../base/log.ts';
import { type DataPaths, dataPaths } from '../../../base/paths.ts';
import { mustRun, run } from '../../../base/run.ts';
import { startEnrolment } from '../../../bootserver/enroll/server.ts';
import { BootServer } from '../../../image/agent/member/boot-server.ts';
import { loadAuthority, rootPem, spkiOf } from '../../../keys/authority.ts';
import { enrolSim, heartbeatOf, simId } from '../../../lab/sim/enrolment.ts';
import { type SimNode, simPcr11 } from '../../../lab/sim/node.ts';
import { initRehearsal, type RehearsalOptions, runRehearsal } from '../../../lab/sim/rehearsal.ts';
import { FleetDirectory } from '../../../orchestrator/fleet/directory.ts';
import { withFleet } from '../../../orchestrator/operators/with-fleet.ts';
import type { Report } from '../../../orchestrator/recovery/report.ts';
import { connect } from '../../../orchestrator/redis/connect.ts';
import { loopbackOnly, markerFile, rehearsalOf } from '../../../orchestrator/rehearsal/marker.ts';
import { heartbeatReply } from '../../../protocol/enrolment/heartbeat.ts';
import { NODE_URI, PATHS, SERVER_NAME } from '../../../protocol/enrolment/messages.ts';
import { anyImage, temporaryData } from '../../orchestrator/fleet/support.ts';
import { keysIn } from '../../support/keys.ts';

const PROGRAM = join(import.meta.dirname, '../../../bin/bootwave');
const ENV = { ...process.env, BOOTWAVE_REDIS_URL: '', BOOTWAVE_LOG: 'error' };
const OPTIONS: RehearsalOptions = {
  nodes: 1,
  sites: ['default'],
  images: ['1.0.0'],
  badImages: [],
  faults: 0,
  restart: 0,
  heartbeat: 30,
};

const made = mkdtemp(join(tmpdir(), 'bw-rehearsal-'));
test.before(async () => {
  await initRehearsal(dataPaths(await made));
});
test.after.always(async () => {
  await rm(await made, { recursive: true, force: true });
});

/** A rehearsal of this test's own: what `--init` makes, copied. */
async function rehearsal(t: ExecutionContext): Promise<DataPaths> {
  const paths = await temporaryData(t);
  await mustRun('cp', ['-a', `${await made}/.`, paths.root]);
  return paths;
}

/** Starts a command that runs on, and waits for its first line. @returns how to end it, as Ctrl-C does */
async function started(t: ExecutionContext, ...args: string[]): Promise<() => Promise<number | null>> {
  const child = spawn(PROGRAM, args, { env: ENV, stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'exit');
  const stop = async () => {
    if (child.exitCode === null) child.kill('SIGINT');
    return (await ended)[0] as number | null;
  };
  t.teardown(stop);
  const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
  t.truthy(JSON.parse(line).ready, line);
  return stop;
}

const refused = (t: ExecutionContext, paths: DataPaths, code: string, options = OPTIONS) =>
  t.throwsAsync(
    runRehearsal(paths, options, AbortSignal.timeout(0), () => t.fail('it started')),
    {
      code,
    },
  );

test('a good version reaches all, a bad one ends at its canary, and nodes that start again run what they ran', async (t) => {
  const paths = await rehearsal(t);
  const bootwave = async (...args: string[]) => {
    const { code, stdout, stderr } = await run(PROGRAM, ['--data', paths.root, ...args, '--json'], {
      env: ENV,
    });
    const lines = stdout.trim().split('\n');
    return { code, lines, value: JSON.parse(lines.at(-1) ?? 'null'), stderr };
  };
  const up = ['--data', paths.root, 'up', '--heartbeat', '5', '--json'];
  await started(t, ...up);
  const sim = ['--data', paths.root, 'lab', 'sim', '--nodes', '12', '--site', 'munich', '--json'];
  const more = ['--bad-images', '1.2.0', '--restart', '1', '--heartbeat', '5'];
  const stop = await started(t, ...sim, ...more);
  const spec = async (image: string) => {
    const file = join(paths.root, `${image}.json`);
    const bake = { node: '1s', wave: '1s' };
    // Its canary is one node; the others go at once.
    const waves = [{ name: 'canary', take: 1 }, { take: 'rest' }];
    const limits = { whole: 12, site: '100%' };
    await writeFile(file, JSON.stringify({ image, nodes: { site: 'munich' }, waves, limits, bake }));
    return file;
  };
  /** A node settles a moment after its rollout has let it go. */
  const settled = async (what: string) => {
    const last = performance.now() + 60_000;
    for (;;) {
      const all = await running();
      if (all.every((one) => one === what) || performance.now() > last) return all;
    }
  };
  const silent = async () =>
    (await bootwave('node', 'list')).value.silent.map(({ site }: { site: string }) => site);
  const running = async () => {
    const { value } = await bootwave('node', 'list');
    const nodes = value.nodes as { observed: { image: string }; state: string }[];
    return nodes.map(({ observed, state }) => `${state} ${observed.image}`);
  };

  const good = await bootwave('rollout', 'start', await spec('1.1.0'), '--watch');
  t.is(good.code, 0, good.stderr);
  t.like(good.value, { type: 'state', state: 'done' });
  t.deepEqual(await settled('healthy 1.1.0'), Array(12).fill('healthy 1.1.0'));

  const bad = await bootwave('rollout', 'start', await spec('1.2.0'), '--watch');
  t.not(bad.code, 0);
  t.like(bad.value, { type: 'state', state: 'failed' });
  const events = bad.lines.map((line) => JSON.parse(line));
  const touched = new Set(events.filter(({ what }) => what === 'node').map(({ name }) => name));
  t.is(touched.size, 1, 'the canary alone');
  t.deepEqual(await settled('healthy 1.1.0'), Array(12).fill('healthy 1.1.0'));

  // The road back, drilled: a node that has not refused that version yet.
  const { nodes } = (await bootwave('node', 'list')).value as { nodes: { name: string }[] };
  const fresh = nodes.map(({ name }) => name).find((name) => !touched.has(name))!;
  const drill = await bootwave('drill', 'rollback', fresh, '--image', '1.2.0', '--reason', 'monthly');
  t.is(drill.code, 0, drill.stderr);
  let reports: Report[] = [];
  while (reports.length === 0) reports = (await bootwave('drill', 'list')).value;
  t.like(reports[0], { kind: 'rollback', site: 'munich', of: fresh, fault: null });
  t.not(reports[0]!.steps.length, 0);
  t.deepEqual(await settled('healthy 1.1.0'), Array(12).fill('healthy 1.1.0'));

  await refused(t, paths, 'REHEARSAL_RUNNING');
  t.deepEqual(await silent(), [], 'somebody listens to all sites');
  t.is(await stop(), 0);
  t.deepEqual(await silent(), ['munich']);
  // Named differently, and still where they are.
  await started(t, ...sim.map((word) => (word === 'munich' ? 'paris,munich' : word)));
  t.deepEqual(await settled('healthy 1.1.0'), Array(12).fill('healthy 1.1.0'));
});

test('simulated nodes start in no data directory but one that was made for them', async (t) => {
  const real = await temporaryData(t);
  await keysIn(real.keys);
  const before = await readdir(real.root);
  await refused(t, real, 'REHEARSAL_NONE');
  await t.throwsAsync(initRehearsal(real), { code: 'REHEARSAL_NOT_EMPTY' });
  t.deepEqual(await readdir(real.root), before);
  // Somebody copies the file that makes a directory a rehearsal.
  await copyFile(markerFile({ root: await made }), markerFile(real));
  await refused(t, real, 'REHEARSAL_KEYS');
  // Or keys: one of the two that count is enough.
  const mixed = await rehearsal(t);
  await copyFile(join(real.keys, 'ssh/client.pub'), join(mixed.keys, 'ssh/client.pub'));
  await refused(t, mixed, 'REHEARSAL_KEYS');
  for (const text of ['', '{}', '[]', 'x', '{"port":22,"fleet":""}']) {
    await writeFile(markerFile(real), text);
    await refused(t, real, 'REHEARSAL_MARKER');
  }
  const env = { ...ENV, BOOTWAVE_DATA: undefined };
  const { stdout } = await run(PROGRAM, ['lab', 'sim', '--init', '--json'], { env });
  t.is(JSON.parse(stdout).error.code, 'REHEARSAL_DATA');
});

test('a node that is not simulated ends a rehearsal before it starts', async (t) => {
  const paths = await rehearsal(t);
  await withFleet(
    paths,
    async (fleet) => {
      const log = createLogger('test', 'silent');
      const pcr11 = async (version: string) => simPcr11(version);
      const directory = new FleetDirectory({
        ...anyImage,
        ...{ fleet, site: 'default', defaultImage: async () => null, pcr11, log },
      });
      const node = { ...stranger(), id: `tpm-${'e'.repeat(64)}` };
      await enrolSim(directory, node as unknown as SimNode, null);
      t.deepEqual(await fleet.nodes.ids(), [node.id]);
    },
    { url: '' },
  );
  await refused(t, paths, 'REHEARSAL_REAL_NODE');
});

test('a rehearsal serves no interface but loopback, and touches no Redis and no machine but its own', async (t) => {
  const paths = await rehearsal(t);
  const file = join(paths.root, 'wires.yaml');
  for (const how of [
    ['--interface', 'eth0', '--proxy'],
    ['--config', file],
  ]) {
    const { code, stdout } = await run(PROGRAM, ['--data', paths.root, 'up', '--json', ...how], { env: ENV });
    t.is(code, 1);
    t.is(JSON.parse(stdout).error.code, 'REHEARSAL_INTERFACE');
  }
  await t.throwsAsync(connect(paths, { url: 'redis://127.0.0.1:1' }), { code: 'REHEARSAL_REDIS' });
  const target = (host: string) => loopbackOnly(async () => ({ host }))('tpm-1');
  t.is((await target('127.66.1.1')).host, '127.66.1.1');
  for (const host of ['10.0.0.7', '::1', '127.evil.example', 'localhost', '128.0.0.1'])
    await t.throwsAsync(target(host), { code: 'REHEARSAL_ADDRESS' }, host);
  t.is((await rehearsalOf(paths))?.port, (await rehearsalOf(dataPaths(await made)))?.port);
});

test('the certificate of a simulated node opens no real fleet', async (t) => {
  const real = await temporaryData(t);
  await keysIn(real.keys);
  const servers = await loadAuthority(real.keys, 'servers');
  const root = await rootPem(real.keys);
  const life = { notBefore: new Date(Date.now() - 1000), notAfter: new Date(Date.now() + 3600_000) };
  const own = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
  const leaf = servers.issue({
    ...{ spki: spkiOf(own), commonName: 'boot server', dnsNames: [SERVER_NAME], usage: 'server', ...life },
  });
  const stop = new AbortController();
  const heard: string[] = [];
  const server = await startEnrolment({
    listen: { host: '127.0.0.1', port: 0 },
    serverKey: own,
    serverChainPem: leaf.pem + servers.chainPem,
    nodesAuthority: await loadAuthority(real.keys, 'nodes'),
    rootPem: root,
    directory: {
      heartbeat: async (id: string) => {
        heard.push(id);
        return { state: 'healthy' };
      },
    } as never,
    log: createLogger('test', 'silent'),
    heartbeatSeconds: 30,
    signal: stop.signal,
  });
  t.teardown(async () => {
    stop.abort();
    await server.closed;
  });
  const node = stranger();
  const beatAs = async (keys: string) => {
    const nodes = await loadAuthority(keys, 'nodes');
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const { pem } = nodes.issue({
      ...{ spki: spkiOf(privateKey), commonName: node.id.slice(0, 64), uris: [`${NODE_URI}${node.id}`] },
      ...{ usage: 'client', ...life },
    });
    const key = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
    const link = new BootServer(`https://127.0.0.1:${server.port}`, root, {
      key,
      chain: pem + nodes.chainPem,
    });
    await link.post(PATHS.heartbeat, heartbeatOf(node as unknown as SimNode), heartbeatReply).catch(() => {});
    link.close();
  };
  await beatAs(dataPaths(await made).keys);
  t.deepEqual(heard, []);
  // The same word behind a certificate of that fleet is heard: it was the certificate.
  await beatAs(real.keys);
  t.deepEqual(heard, [node.id]);
});

function stranger() {
  return {
    number: 1,
    id: simId(1),
    bootId: '6f0b2f0e-0000-4000-8000-000000000001',
    running: '1.0.0',
    healthy: true,
    hostKey: { line: 'ssh-ed25519 AAAA1' },
    status: () => ({ running: { pcr11: simPcr11('1.0.0') } }),
  };
}
