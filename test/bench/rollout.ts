/** A rollout of a no-op image: simulated nodes (NODES=1000), then 200 real sshds against Ansible and pdsh. */
// Orchestrator, simulated nodes and Redis are processes of their own. Every node restarts once on its way: its
// connection ends, it enrols again with a new host key, and is connected to anew. What a node pays for beyond the
// orchestrator (its simulation, which also stands for the boot server) runs on the same two cores and is shown.
import type { ChildProcess } from 'node:child_process';
import { Bed, load, median } from './fleet/bed.ts';
import { ansible, pdsh } from './fleet/peers.ts';
import { startSshds } from './fleet/sshds.ts';
import { installPeers } from './install-peers.ts';

const NODES = Number(process.env.NODES ?? 1000);
const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 3);
const SSHDS = Number(process.env.SSHDS ?? 200);
/** `KINDS=open` leaves the rounds out in which every connection is cold. */
const KINDS = (['open', 'cold'] as const).filter((kind) =>
  (process.env.KINDS ?? 'open,cold').split(',').includes(kind),
);
/** Nodes under way at once against the peers: our own default limit, their forks. */
const FORKS = 50;

/** No bake: what is measured is the machinery, not how careful a plan is. */
const SPEC = {
  limits: { whole: '100%', site: '100%' },
  bake: { node: '0s', wave: '0s' },
  gates: [{ kind: 'pcr11' }],
};

const PEERS = [ansible, pdsh];

const seconds = (ms: number) => (ms / 1000).toFixed(1);

/** Milliseconds from the start of a planned rollout to its end. */
async function rollOut(bed: Bed, id: string): Promise<number> {
  const started = performance.now();
  await bed.go(id);
  const { state, why } = await bed.until(id, ({ endedAt }) => endedAt !== null);
  if (state !== 'done') throw new Error(`the rollout ended as ${state}: ${why}`);
  return performance.now() - started;
}

/** A new orchestrator for each: its connections are all open, or none is. */
async function withOrchestrator<T>(
  bed: Bed,
  kind: 'open' | 'cold',
  options: { namespace?: string },
  work: (orchestrator: ChildProcess) => Promise<T>,
): Promise<T> {
  const orchestrator = await bed.orchestrator(options);
  if (kind === 'open') console.log(`  connections opened in ${seconds(await bed.warm(orchestrator))} s`);
  const result = await work(orchestrator);
  await bed.end(orchestrator);
  return result;
}

async function measured(bed: Bed, orchestrator: ChildProcess, nodes: number): Promise<number> {
  const look = async () => ({
    own: await bed.usage(orchestrator),
    redis: await bed.redis(),
    sim: (await bed.sim.facts()).cpu,
  });
  const before = await look();
  const waves = [{ name: 'canary', take: 1 }, { take: '10%' }, { take: 'rest' }];
  const wall = await rollOut(bed, await bed.plan({ ...SPEC, waves }));
  const after = await look();
  const cpu = (a: number, b: number) => `${((b - a) / nodes).toFixed(1)} ms CPU`;
  console.log(
    [
      `  ${seconds(wall)} s, ${load()}; a node: orchestrator ${cpu(before.own.cpu, after.own.cpu)}`,
      `Redis ${cpu(before.redis.cpu, after.redis.cpu)} and ${((after.redis.memory - before.redis.memory) / nodes / 1024).toFixed(1)} KiB more`,
      `its simulation ${cpu(before.sim, after.sim)}; orchestrator ${(after.own.rss / 2 ** 20).toFixed(0)} MiB in all`,
    ].join(', '),
  );
  return wall;
}

async function simulated(): Promise<void> {
  const bed = await Bed.make({
    count: NODES,
    times: { stage: 1, restart: 100 },
    sites: Math.ceil(NODES / 100),
  });
  try {
    const { memory } = await bed.redis();
    console.log(
      `${NODES} simulated nodes; Redis holds ${(memory / NODES / 1024).toFixed(1)} KiB a node before any rollout`,
    );
    const goal = (120_000 * NODES) / 10_000;
    for (const kind of KINDS) {
      const walls: number[] = [];
      for (let round = 0; round < ROUNDS; round += 1) {
        walls.push(await withOrchestrator(bed, kind, {}, (own) => measured(bed, own, NODES)));
      }
      const ours = median(walls);
      console.log(
        `bench rollout-${kind} ${seconds(ours)} s vs goal ${seconds(goal)} s ratio ${(ours / goal).toFixed(2)}`,
      );
    }
  } finally {
    await bed.close();
  }
}

async function againstPeers(): Promise<void> {
  const none = await installPeers({ 'ansible-playbook': 'ansible-core', pdsh: 'pdsh' });
  if (none !== null) {
    console.log(`no comparison with Ansible and pdsh: ${none}`);
    return;
  }
  const sshds = await startSshds(SSHDS);
  try {
    const bed = await Bed.make({
      count: SSHDS,
      times: { stage: 1, restart: 1 },
      sshds: sshds.folder,
      client: sshds.client,
    });
    try {
      console.log(
        `${SSHDS} sshds, each a process with an address of its own, ${FORKS} nodes at a time; connections open ahead or not`,
      );
      console.log('  theirs: three commands that do nothing, on every node');
      console.log('  ours, config: order and check, order and apply, two reports; no restart');
      console.log(
        '  ours, image: order and stage, order and activate, restart with a new connection, two reports',
      );
      const { namespace } = sshds;
      const spec = { ...SPEC, waves: [{ take: 'rest' }], limits: { whole: FORKS, site: '100%' } };
      const image = async () => rollOut(bed, await bed.plan(spec));
      const config = async () => rollOut(bed, await bed.planConfig(spec));
      const ours = [
        ['config-open', 'open', config],
        ['config-cold', 'cold', config],
        ['image-open', 'open', image],
        ['image-cold', 'cold', image],
      ] as const;
      const took = new Map<string, number[]>();
      const note = (name: string, ms: number) => took.set(name, [...(took.get(name) ?? []), ms]);
      for (let round = 0; round < ROUNDS; round += 1) {
        for (const [name, kind, work] of ours)
          note(name, await withOrchestrator(bed, kind, { namespace }, work));
        for (const peer of PEERS) note(peer.name, await peer.measure(sshds, FORKS));
        const last = [...took].map(([name, times]) => `${name} ${seconds(times.at(-1) ?? 0)} s`);
        console.log(`  ${last.join(', ')}, ${load()}`);
      }
      const of = (name: string) => median(took.get(name) ?? []);
      for (const { name: peer } of PEERS) {
        for (const [name] of ours) {
          console.log(
            `bench rollout-${name} ${seconds(of(name))} s vs ${peer} ${seconds(of(peer))} s ratio ${(of(peer) / of(name)).toFixed(2)}`,
          );
        }
      }
    } finally {
      await bed.close();
    }
  } finally {
    await sshds.close();
  }
}

if (NODES > 0) await simulated();
if (SSHDS > 0) await againstPeers();
