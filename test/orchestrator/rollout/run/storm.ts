/**
 * A rollout in which everything goes wrong that may: a share of the nodes with faults of every kind, the orchestrator
 * killed, then Redis killed, each in the middle. What must hold whatever happens is asserted here.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { ExecutionContext } from 'ava';
import { randomFaults } from '../../../../lab/sim/fault.ts';
import type { SimNode } from '../../../../lab/sim/node.ts';
import type { RolloutState } from '../../../../orchestrator/rollout/engine.ts';
import { UNDER_WAY } from '../../../../orchestrator/rollout/node-step.ts';
import { ENDED } from '../../../../orchestrator/rollout/record.ts';
import { kill, orchestratorProcess } from './process.ts';
import { type Bench, benchFor, redisPid, SPEC } from './support.ts';

export type Storm = {
  seed: number;
  count: number;
  /** Share of the nodes with a fault, 0 to 1. */
  share: number;
  /** Failures tolerated in all. */
  budget: number;
  /** Nodes under way at once. */
  whole: number;
  timeouts: Record<string, string>;
  /** Seconds until it must have ended. */
  within: number;
  https?: { keys: string; every: number };
};

/** @returns the state in which it ended, for what only this storm can say */
export async function weather(t: ExecutionContext, storm: Storm): Promise<RolloutState> {
  const { seed, count, budget, whole } = storm;
  const faults = randomFaults(seed, storm.share, '2.0');
  const bench = await benchFor(t, {
    count,
    faults,
    sim: { trouble: 1_500 },
    ...(storm.https === undefined ? {} : { https: storm.https }),
  });
  const first = await orchestratorProcess(t, bench);
  const id = await bench.start({
    waves: [{ name: 'canary', take: '10%' }, { take: 'rest' }],
    limits: { whole, site: '100%' },
    // The canary proves the version, whichever nodes are in it; what is spent is the whole.
    budget: { wave: '100%', whole: budget },
    flaps: 1,
    attempts: 1,
    timeouts: { ...SPEC.timeouts, ...storm.timeouts },
  });
  const stop = new AbortController();
  t.teardown(() => stop.abort());
  const watched = watch(bench, id, storm, stop.signal);

  // A storm that spends its budget early is cut short: then it happens while things are taken back.
  const touched = (part: number) =>
    bench.until(
      id,
      ({ rollout }) => rollout.touches > count * part || rollout.state !== 'running',
      storm.within,
    );
  await touched(0.25);
  await kill(first);
  await orchestratorProcess(t, bench);
  await touched(0.5);
  process.kill(await redisPid(bench.socket), 'SIGKILL');
  const end = await bench.until(id, ({ rollout }) => rollout.endedAt !== null, storm.within);
  stop.abort();
  t.deepEqual(await watched, []);

  t.true(ENDED.includes(end.rollout.state));
  t.is(end.rollout.term, 0, 'a restart that lost nothing is no failover');
  const steps = [...end.nodes.values()];
  t.deepEqual(
    steps.filter((step) => UNDER_WAY.includes(step.state)).map((step) => `${step.name} ${step.state}`),
    [],
  );
  const nodes = new Map(bench.nodes.map((node) => [node.id, node]));
  for (const step of steps) {
    // One that vanished after it was done is named as silent, not counted as well.
    if (step.state !== 'done' || step.lost !== null) continue;
    const node = nodes.get(step.node);
    t.true(node?.running === '2.0' && node.up, `${step.name} counts as done and is not`);
  }
  t.deepEqual(
    bench.nodes.flatMap((node) => repeated(node, faults(node.number, '2.0') === null)),
    [],
  );
  return end;
}

/** Looks all the while; @returns what was broken */
async function watch(bench: Bench, id: string, storm: Storm, signal: AbortSignal): Promise<string[]> {
  const broken = new Set<string>();
  let touches: number | null = null;
  while (!signal.aborted) {
    for (const node of bench.nodes) {
      if (!node.has(node.lastGood)) broken.add(`${node.number} lost its last good ${node.lastGood}`);
    }
    const rollout = await bench.state(id).then(
      (state) => state.rollout,
      // Redis is away: nothing to be seen.
      () => null,
    );
    if (rollout !== null) {
      const { failures, inFlight, spent } = rollout;
      if (failures > storm.budget + storm.whole)
        broken.add(`${failures} failures, ${storm.budget} tolerated and ${storm.whole} under way at most`);
      if (inFlight.whole > storm.whole) broken.add(`${inFlight.whole} under way, ${storm.whole} allowed`);
      if (touches !== null && rollout.touches !== touches)
        broken.add('a node was begun after the budget was spent');
      if (spent !== null) touches ??= rollout.touches;
    }
    await sleep(250, undefined, { signal }).catch(() => {});
  }
  return [...broken];
}

/** What a node did twice. One with a fault may boot as often as its fault makes it. */
function repeated(node: SimNode, sound: boolean): string[] {
  const found: string[] = [];
  const times = (what: string, version: string) =>
    node.deeds.filter((deed) => deed.what === what && deed.version === version).length;
  const epochs = node.deeds.filter(({ what }) => what === 'ordered').map(({ epoch }) => epoch);
  if (new Set(epochs).size !== epochs.length) found.push(`${node.number} took two orders of one epoch`);
  if (times('wrote', '2.0') > 1) found.push(`${node.number} wrote 2.0 twice`);
  if (sound && times('booted', '2.0') > 1) found.push(`${node.number} booted 2.0 twice`);
  // At the start, and where it was taken back.
  if (sound && times('booted', '1.0') > 2) found.push(`${node.number} booted 1.0 three times`);
  return found;
}
