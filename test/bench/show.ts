/** `rollout show` of 10,000 nodes while the rollout moves (goal: 1 s). */
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { dataPaths } from '../../base/paths.ts';
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
const PROGRAM = fileURLToPath(new URL('../../bin/bootwave', import.meta.url));

/** Milliseconds from the start of the command to its end, and lines that it printed. */
async function show(root: string, id: string): Promise<{ wall: number; lines: number }> {
  const began = performance.now();
  const child = spawn(PROGRAM, ['--data', root, 'rollout', 'show', id], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, BOOTWAVE_REDIS_URL: '' },
  });
  let lines = 0;
  for await (const chunk of child.stdout) lines += String(chunk).split('\n').length - 1;
  if (child.exitCode !== 0 && child.exitCode !== null) throw new Error(`it ended with ${child.exitCode}`);
  return { wall: performance.now() - began, lines };
}

const root = await mkdtemp(join(tmpdir(), 'bw-bench-'));
const { redis, close } = await connect(dataPaths(root), { url: '' });
try {
  const versions = ['1.0', '2.0'].map((version) => [version, { sha256: 'a'.repeat(64), size: 1 }] as const);
  const plan = planOf(fleetOf(NODES, 100), { waves: [{ take: 'rest' }] });
  const by = { author: 'operator:bench', at: Date.now() };
  const id = await create(redis, plan, Object.fromEntries(versions), by);
  const { rollout } = await readState(redis, id);
  let rev = 0;
  const moving = setInterval(() => {
    rev += 1;
    void redis.hset(ROLLOUT_KEYS.rollout(id), 'body', JSON.stringify({ ...rollout, rev }));
  }, STEP);
  const walls: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const { wall, lines } = await show(root, id);
    if (lines < NODES) throw new Error(`it shows ${lines} lines of ${NODES} nodes`);
    walls.push(wall);
    const cpu = process.cpuUsage();
    await readState(redis, id);
    const { user, system } = process.cpuUsage(cpu);
    console.log(
      `  ${(wall / 1000).toFixed(1)} s, of which reading takes ${((user + system) / 1000).toFixed(0)} ms CPU, ${load()}`,
    );
  }
  clearInterval(moving);
  const ours = median(walls);
  console.log(
    `bench show ${(ours / 1000).toFixed(1)} s vs goal ${GOAL / 1000} s ratio ${(ours / GOAL).toFixed(2)}`,
  );
} finally {
  await close();
  await rm(root, { recursive: true, force: true });
}
