/** What it costs to ask nodes what they use, and to show it of 10,000 of them (goal: 2 s of processor time) */
import { generateKeyPairSync } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setImmediate as turn } from 'node:timers/promises';
import { dataPaths } from '../../base/paths.ts';
import { nodesText } from '../../cli/usage/text.ts';
import { makeHostKey } from '../../image/agent/root/host-key.ts';
import { startSimFleet } from '../../lab/sim/fleet.ts';
import { simUsage } from '../../lab/sim/usage.ts';
import { Fleet } from '../../orchestrator/fleet/fleet.ts';
import { KEYS } from '../../orchestrator/fleet/keys.ts';
import { fleetMetrics } from '../../orchestrator/metrics/fleet.ts';
import { orderKey } from '../../orchestrator/orders/issued.ts';
import { connect } from '../../orchestrator/redis/connect.ts';
import { targetsOf } from '../../orchestrator/rollout/run/targets.ts';
import { LinkPool } from '../../orchestrator/transport/pool.ts';
import { fleetUsage } from '../../orchestrator/usage/fleet.ts';
import { storeUsages } from '../../orchestrator/usage/stored.ts';
import { topNodes } from '../../orchestrator/usage/top.ts';
import { orderKeyId } from '../../protocol/order-envelope.ts';
import { load } from './fleet/bed.ts';

const NODES = Number(process.env.NODES ?? 10_000);
const SERVICES = Number(process.env.SERVICES ?? 3);
const ASKED = Number(process.env.ASKED ?? 100);
const GOAL = 2_000;

const root = await mkdtemp(join(tmpdir(), 'bw-bench-'));
const paths = dataPaths(root);
const { redis, close } = await connect(paths, { url: '' });
const stop = new AbortController();
try {
  const fleet = new Fleet(redis);
  await asking(fleet);
  await showing(fleet);
} finally {
  stop.abort();
  await close();
  await rm(root, { recursive: true, force: true });
}
process.exit(0);

async function measured<T>(name: string, work: () => Promise<T>, of = 1): Promise<{ value: T; cpu: number }> {
  const delay = monitorEventLoopDelay({ resolution: 5 });
  delay.enable();
  const [began, before] = [performance.now(), process.cpuUsage()];
  const value = await work();
  const { user, system } = process.cpuUsage(before);
  const cpu = (user + system) / 1000;
  const wall = performance.now() - began;
  delay.disable();
  const each = of === 1 ? '' : `, ${(cpu / of).toFixed(2)} ms of CPU each`;
  console.log(
    `  ${name}: ${wall.toFixed(0)} ms, CPU ${cpu.toFixed(0)} ms${each}, longest turn ${(delay.max / 1e6).toFixed(0)} ms, ${load()}`,
  );
  return { value, cpu };
}

/** Simulated nodes in this process: half of the CPU is theirs. */
async function asking(fleet: Fleet): Promise<void> {
  const client = makeHostKey();
  const { publicKey } = generateKeyPairSync('ed25519');
  const sim = await startSimFleet({
    ...{ fleet, count: ASKED, sites: ['default'], version: '1.0', clientPub: client.line },
    ...{ orderKeys: new Map([[orderKeyId(publicKey), publicKey]]), signal: stop.signal },
  });
  const pool = new LinkPool({
    privateKey: client.file,
    resolve: targetsOf(fleet, sim.port),
    signal: stop.signal,
  });
  const all = () => Promise.all(sim.nodes.map(({ id }) => pool.request(id, 'usage', {})));
  await measured(`${ASKED} asks that open their link`, all, ASKED);
  for (let round = 0; round < 3; round += 1) await measured(`${ASKED} asks over open links`, all, ASKED);
  await pool.close();
  await sim.close();
}

async function showing(fleet: Fleet): Promise<void> {
  const [id] = await fleet.nodes.ids();
  const record = (await fleet.nodes.get(id!))!;
  await redis.flushall();
  await fleet.sites.add('site0', {}, { actor: 'operator:bench', at: 1 }).catch(() => {});
  const names = Array.from({ length: SERVICES }, (_, i) => ({ name: `fleet/service${i}`, version: '1.0' }));
  const running = names.map((one) => ({ ...one, state: 'running', health: 'healthy', restarts: 0 }) as const);
  const ids: string[] = [];
  for (let n = 0; n < NODES; n += 1) {
    const own = {
      ...record,
      id: `${record.id.slice(0, -5)}${String(n).padStart(5, '0')}`,
      name: `node-${n}`,
      site: `site${n % 10}`,
    };
    ids.push(own.id);
    const services = names.map((one) => ({ ...one, sha256: 'a'.repeat(64), size: 1 }));
    const order = { order: { node: own.id, epoch: 1, services }, rollout: 'x', kind: 'activate' };
    redis.hset(KEYS.node(own.id), { state: own.state, epoch: own.epoch, body: JSON.stringify(own) });
    redis.hset(orderKey(own.id), { state: 'issued', epoch: 1, body: JSON.stringify(order) });
    redis.sadd(KEYS.nodes, own.id);
    redis.sadd(KEYS.nodesOfSite(own.site), own.id);
    await redis.zadd(KEYS.seen, Date.now(), own.id);
  }
  const memory = async () => Number(/used_memory:(\d+)/.exec(await redis.info('memory'))?.[1]);
  const before = await memory();
  for (const at of [60_000, 120_000])
    await measured(
      `${NODES} words are stored, 50 at a time`,
      async () => {
        for (let i = 0; i < ids.length; i += 50) {
          const some = ids.slice(i, i + 50).map((node, k) => {
            const usage = simUsage(i + k, { bootId: 'b', at }, running);
            return [node, { usage, heard: Date.now() }] as const;
          });
          await storeUsages(redis, new Map(some));
        }
      },
      NODES,
    );
  console.log(
    `  Redis: ${(((await memory()) - before) / NODES / 1024).toFixed(1)} KiB a node with ${SERVICES} services`,
  );
  const top = await measured('node top', async () =>
    nodesText(topNodes(await fleetUsage(fleet), 'cpu').slice(0, 40), Date.now()),
  );
  const text = await measured('metrics', async () => {
    let bytes = 0;
    for (const piece of await fleetMetrics(fleet, paths, {})) {
      bytes += piece.length;
      // As the socket takes it.
      await turn();
    }
    return bytes;
  });
  console.log(`  metrics: ${(text.value / 1e6).toFixed(1)} MB`);
  await measured(
    'metrics of one site',
    async () => [...(await fleetMetrics(fleet, paths, { site: 'site0' }))].length,
  );
  console.log(
    `bench usage ${(top.cpu / 1000).toFixed(2)} s vs goal ${GOAL / 1000} s ratio ${(top.cpu / GOAL).toFixed(2)}`,
  );
}
