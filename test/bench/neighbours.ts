/** Services on one node: the 99th percentile of a small HTTP service beside a full node and hogs, against the same alone */
// All of it in one guest, which has its disk, limits and verity: the service, who asks it (an instance, through the node's own
// address and rules) and the others. The way there and back, so that what changes meanwhile hits all of it.
import { mkdtemp } from 'node:fs/promises';
import { loadavg } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { mustRun } from '../../base/run.ts';
import { ORDER_LIMITS } from '../../protocol/order.ts';
import { makeBundle } from '../image/agent/root/services/bundles.ts';
import { deliver } from '../support/deliver.ts';
import { Rack } from '../support/rack.ts';
import { ended, startRollout } from '../support/rollout.ts';
import { fetched, release } from '../support/services.ts';
import { snapshot } from '../support/snapshot.ts';
import { NODE, UPDATED, updatedRack } from '../support/updated.ts';
import { median } from './fleet/bed.ts';

/** Batches of requests in each phase. */
const BATCHES = Number(process.env.BATCHES ?? 7);
/** Requests of a batch, and microseconds between two of them. */
const [REQUESTS, PAUSE] = [300, 10_000];
const GOAL = 1.5;
const MIB = 2 ** 20;

const HOGS = {
  'hog-cpu': ['while :; do :; done', {}],
  'hog-memory': [`small hog ${192 * MIB}`, {}],
  'hog-io': [
    'while :; do dd if=/dev/zero of=/state/x bs=64k count=256 conv=fsync 2>/dev/null; done',
    { state: { path: '/state', bytes: 32 * MIB } },
  ],
} as const;
/** An order names no more services than that. */
const IDLE = Number(process.env.IDLE ?? ORDER_LIMITS.services - 2 - Object.keys(HOGS).length);

type Batch = { failed: number; p50: number; p99: number; most: number };

const rack = await Rack.restore('bench-neighbours', await snapshot(UPDATED, updatedRack));
try {
  await compare(rack);
} finally {
  await rack.lab.down();
}

async function compare(rack: Rack): Promise<void> {
  const work = await mkdtemp(join(rack.paths.root, 'bench-'));
  const small = join(work, 'small');
  const source = join(import.meta.dirname, 'support/small-http.c');
  await mustRun('gcc', ['-O1', '-static', '-o', small, source]);
  const bundle = await makeBundle(work, { small });
  const { observed, id } = await rack.record(NODE);
  const limits = { memory: 256 * MIB, cpu: 100, tasks: 16 };
  const asks = `while :; do small ask ${observed.address} 8080 ${REQUESTS} ${PAUSE} >> /tmp/log; done & httpd -f -p 8081 -h /tmp`;
  const port = (number: number) => ({ ports: [{ name: 'http', port: number }] });
  await release(rack, bundle, 'web:1', 'small serve 8080', { ...port(8080), limits });
  const egress = [{ to: observed.address, protocol: 'tcp', port: 8080 }];
  await release(rack, bundle, 'asks:1', asks, { ...port(8081), limits, egress });
  const idle = Array.from({ length: IDLE }, (_, n) => `idle${n}`);
  for (const name of idle) await release(rack, bundle, `${name}:1`, 'sleep 100000');
  for (const [name, [script, more]] of Object.entries(HOGS))
    await release(rack, bundle, `${name}:1`, script, { limits, ...more });
  const rolled = async (names: readonly string[], version: string) => {
    const spec = { services: names.map((name) => `${name}:${version}`), nodes: { all: true } };
    const { rollout, setup } = await ended(rack, await startRollout(rack, spec));
    if (rollout.state !== 'done') throw new Error((await rack.bootwave('rollout', 'show', setup.id)).stdout);
  };
  const available = async () => (await deliver(rack, id)).usage.memory!.available;
  const phases = { alone: [] as Batch[], full: [] as Batch[], hogs: [] as Batch[] };
  const measure = async (phase: keyof typeof phases) => {
    const found = await undisturbed(rack, () => batches(rack));
    phases[phase].push(...found);
    const said = found.map(
      ({ p50, p99, failed }) => `${p50}/${p99}${failed === 0 ? '' : ` (${failed} failed)`}`,
    );
    console.log(`${phase}: us at 50/99 %: ${said.join(', ')}; load ${loadavg()[0]!.toFixed(1)}`);
  };
  const hogs = Object.keys(HOGS);
  await rolled(['web', 'asks'], '1');
  const before = await available();
  await measure('alone');
  await rolled(idle, '1');
  console.log(
    `${IDLE} idle sandboxes take ${((before - (await available())) / IDLE / 1e6).toFixed(2)} MB of the node each`,
  );
  await measure('full');
  await rolled(hogs, '1');
  await measure('hogs');
  await rolled(hogs, 'none');
  await measure('full');
  await rolled(idle, 'none');
  await measure('alone');
  const [alone, full, hogged] = [phases.alone, phases.full, phases.hogs].map((all) =>
    median(all.map(({ p99 }) => p99)),
  );
  const line = (name: string, value: number, peer: string, other: number) =>
    console.log(
      `bench ${name} ${(value / 1000).toFixed(1)} ms vs ${peer} ${(other / 1000).toFixed(1)} ms ratio ${(value / other).toFixed(2)}`,
    );
  line(`service-p99-among-${IDLE + 2}`, full!, 'alone', alone!);
  line(`service-p99-among-${IDLE + 2 + hogs.length}-with-hogs`, hogged!, 'alone', alone!);
  process.exitCode = hogged! <= GOAL * alone! ? 0 : 1;
}

/** Whole batches that began from now on. */
async function batches(rack: Rack): Promise<Batch[]> {
  const first = (await lines(rack)).length + 1;
  for (;;) {
    const some = (await lines(rack)).slice(first, first + BATCHES);
    if (some.length === BATCHES) return some;
    await sleep(2000);
  }
}

async function lines(rack: Rack): Promise<Batch[]> {
  return (await fetched(rack, NODE, 8081, '/log'))
    .trim()
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [, failed = 0, p50 = 0, p99 = 0, most = 0] = line.split(' ').map(Number);
      return { failed, p50, p99, most };
    });
}

/** What else this host does is no neighbour: while it is measured, the emulator goes before all of it (sched(7)). */
async function undisturbed<T>({ lab }: Rack, work: () => Promise<T>): Promise<T> {
  const power = (await lab.status()).nodes.find(({ name }) => name === NODE)?.power;
  if (power?.on !== true) throw new Error(`${NODE} is off`);
  const schedule = (how: string, priority: string) =>
    mustRun('chrt', [how, '--all-tasks', '--pid', priority, `${power.qemu.pid}`]);
  await schedule('--rr', '1');
  try {
    return await work();
  } finally {
    await schedule('--other', '0');
  }
}
