/** From SIGKILL of the only orchestrator in the middle of a rollout until the next one moves a node (goal: 3 s). */
import { setTimeout as sleep } from 'node:timers/promises';
import { Bed, load, median } from './fleet/bed.ts';

const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 5);
const NODES = 300;
const GOAL = 3_000;

/** Few at a time, so that the rollout lasts and nodes are in every step when its orchestrator dies. */
const SPEC = {
  waves: [{ take: 'rest' }],
  limits: { whole: 20, site: '100%' },
  bake: { node: '1s', wave: '0s' },
};

/** Milliseconds from the kill, by one clock; a new process is started at once, as systemd would. */
async function resume(bed: Bed): Promise<{ ready: number; moved: number; inHand: number }> {
  const first = await bed.orchestrator();
  const id = await bed.plan(SPEC);
  await bed.go(id);
  await bed.until(id, ({ touches }) => touches > NODES / 4);
  await bed.kill(first);
  const killed = performance.now();
  const underWay = await bed.underWay(id);
  const after = await bed.lastAudit();
  const second = await bed.orchestrator();
  const ready = performance.now() - killed;
  let moved = 0;
  let inHand = 0;
  while (inHand === 0) {
    const nodes = await bed.movedSince(after, id);
    const now = performance.now() - killed;
    if (moved === 0 && nodes.size > 0) moved = now;
    // Every node that the dead one had in hand.
    if (underWay.every((node) => nodes.has(node))) inHand = now;
    await sleep(20);
  }
  const { state, why } = await bed.until(id, ({ endedAt }) => endedAt !== null);
  if (state !== 'done') throw new Error(`the rollout ended as ${state}: ${why}`);
  await bed.end(second);
  return { ready, moved, inHand };
}

const bed = await Bed.make({ count: NODES, times: { stage: 200, restart: 500 } });
try {
  const times: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const { ready, moved, inHand } = await resume(bed);
    times.push(moved);
    console.log(
      `  the next process ready after ${(ready / 1000).toFixed(1)} s, a node moved after ${(moved / 1000).toFixed(1)} s, every node in hand at the kill after ${(inHand / 1000).toFixed(1)} s, ${load()}`,
    );
  }
  const ours = median(times);
  console.log(
    `bench resume ${(ours / 1000).toFixed(1)} s vs goal ${GOAL / 1000} s ratio ${(ours / GOAL).toFixed(2)}`,
  );
  if (ours > GOAL) process.exitCode = 1;
} finally {
  await bed.close();
}
