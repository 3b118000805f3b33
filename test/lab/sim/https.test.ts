import { generateKeyPairSync } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { makeHostKey } from '../../../image/agent/root/host-key.ts';
import { startSimFleet } from '../../../lab/sim/fleet.ts';
import { startSimProcesses } from '../../../lab/sim/processes.ts';
import { Fleet } from '../../../orchestrator/fleet/fleet.ts';
import { redisFor } from '../../orchestrator/fleet/support.ts';
import { keysIn } from '../../support/keys.ts';
import { until } from '../../support/until.ts';

async function fleetKeys(t: ExecutionContext): Promise<string> {
  const keys = await mkdtemp(join(tmpdir(), 'bw-sim-keys-'));
  t.teardown(() => rm(keys, { recursive: true, force: true }));
  await keysIn(keys);
  return keys;
}

test('heartbeats come over mutual TLS, with a new certificate for each boot', async (t) => {
  const { redis } = await redisFor(t);
  const fleet = new Fleet(redis);
  const stop = new AbortController();
  const sim = await startSimFleet({
    fleet,
    count: 3,
    sites: ['default'],
    version: '1.0',
    clientPub: makeHostKey().line,
    orderKeys: new Map(),
    https: { keys: await fleetKeys(t), every: 1 },
    signal: stop.signal,
  });
  t.teardown(async () => {
    stop.abort();
    await sim.close();
  });
  const node = sim.nodes[0]!;
  const serial = async () => (await fleet.nodes.get(node.id))?.identity.certificateSerial;
  const before = await serial();
  const heard = await fleet.heard.lastSeenOf(node.id);
  await until(async () => (await fleet.heard.lastSeenOf(node.id)) !== heard);

  await node.boot('1.0');
  t.not(await serial(), before);
  const { beats } = sim;
  // Two of each: one at least was sent after this boot.
  await until(async () => sim.beats >= beats + 6);
  // What a node says over this wire changes its record, as a real node's word does.
  node.healthy = false;
  await until(async () => (await fleet.nodes.get(node.id))?.state === 'degraded');
  t.pass();
});

test('a fleet in several processes has one port, one record per node, and facts that can be asked for', async (t) => {
  const { redis, paths } = await redisFor(t);
  const order = makeOrderKey();
  const sim = await startSimProcesses({
    root: paths.root,
    count: 5,
    processes: 2,
    sites: ['default'],
    version: '1.0',
    clientPub: makeHostKey().line,
    orderPub: order,
  });
  t.teardown(() => sim.close());
  t.is(sim.pids.length, 2);
  const { nodes } = await sim.facts();
  t.deepEqual(
    nodes.map((node) => [node.number, node.running, node.up, node.hasLastGood]),
    [0, 1, 2, 3, 4].map((n) => [n, '1.0', true, true]),
  );
  t.deepEqual(nodes.map(({ id }) => id).sort(), (await new Fleet(redis).nodes.ids()).sort());
});

function makeOrderKey(): string {
  const { publicKey } = generateKeyPairSync('ed25519');
  return publicKey.export({ type: 'spki', format: 'pem' }).toString();
}
