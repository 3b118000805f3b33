/** What `rollout show` reads and writes of 10,000 nodes while the rollout moves (goal: 1 s). */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { dataPaths } from '../../base/paths.ts';
import { showText } from '../../cli/rollout/text.ts';
import { connect } from '../../orchestrator/redis/connect.ts';
import { ROLLOUT_KEYS } from '../../orchestrator/rollout/run/keys.ts';
import { create } from '../../orchestrator/rollout/run/operate.ts';
import { readState } from '../../orchestrator/rollout/run/stored.ts';
import { fleetOf, planOf } from '../orchestrator/rollout/fleet.ts';
import { load, median } from './fleet/bed.ts';

const NODES = Number(process.env.NODES ?? 10_000);
const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 5);
const GOAL = 1_000;
/** Milliseconds between two steps of the rollout, as a busy driver writes them. */
const STEP = 20;
const root = await mkdtemp(join(tmpdir(), 'bw-bench-'));
const { redis, close } = await connect(dataPaths(root), { url: '' });
let moving: NodeJS.Timeout | undefined;
try {
  const versions = ['1.0', '2.0'].map((version) => [version, { sha256: 'a'.repeat(64), size: 1 }] as const);
  const plan = planOf(fleetOf(NODES, 100), { waves: [{ take: 'rest' }] });
  const by = { author: 'operator:bench', at: Date.now() };
  const id = await create(redis, plan, Object.fromEntries(versions), by);
  const { rollout } = await readState(redis, id);
  let rev = 0;
  moving = setInterval(() => {
    rev += 1;
    void redis.hset(ROLLOUT_KEYS.rollout(id), 'body', JSON.stringify({ ...rollout, rev }));
  }, STEP);
  const walls: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const began = performance.now();
    const cpu = process.cpuUsage();
    const state = await readState(redis, id);
    const lines = showText({ ...state, nodes: [...state.nodes.values()], undecided: null }).split(
      '\n',
    ).length;
    const { user, system } = process.cpuUsage(cpu);
    if (lines < NODES) throw new Error(`it shows ${lines} lines of ${NODES} nodes`);
    walls.push(performance.now() - began);
    console.log(
      `  ${Math.round(walls.at(-1) ?? 0)} ms, CPU ${((user + system) / 1000).toFixed(0)} ms, ${load()}`,
    );
  }
  const ours = median(walls);
  console.log(
    `bench show ${(ours / 1000).toFixed(2)} s vs goal ${GOAL / 1000} s ratio ${(ours / GOAL).toFixed(2)}`,
  );
} finally {
  clearInterval(moving);
  await close();
  await rm(root, { recursive: true, force: true });
}
