/** From `slice run` until a service answers its health check on every node of a new slice: 50 and 250 simulated nodes, over the real link and the real signer */
import type { ExecutionContext } from 'ava';
import { dataPaths } from '../../base/paths.ts';
import type { Acting } from '../../orchestrator/operations/operation.ts';
import * as slice from '../../orchestrator/operations/slice/acts.ts';
import { run } from '../../orchestrator/operations/slice/run.ts';
import { ROLLOUT_TIMES } from '../../orchestrator/rollout/run/start.ts';
import { release } from '../orchestrator/rollout/run/service-bench.ts';
import { benchFor } from '../orchestrator/rollout/run/support.ts';
import { silent } from '../support/own-redis.ts';
import { load, median } from './fleet/bed.ts';

const SIZES = [
  { nodes: 50, goal: 30 },
  { nodes: 250, goal: 60 },
] as const;
const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 3);

const ends: (() => unknown)[] = [];
const t = { teardown: (end: () => unknown) => ends.unshift(end) } as unknown as ExecutionContext;
try {
  const count = SIZES.at(-1)!.nodes;
  const bench = await benchFor(t, { count, decides: 'all', sites: ['default', 'par', 'ham', 'osl', 'rom'] });
  await release(bench, 'fleet/web:1');
  const { fleet, nodes } = bench;
  const acting = () =>
    ({
      ...{ fleet, paths: dataPaths(bench.root), log: silent, signal: new AbortController().signal },
      by: { actor: 'operator:eve', at: Date.now() },
      identity: { actor: 'operator:eve', role: 'core', sites: [] },
    }) as unknown as Acting;
  // With the limits and times of `bootwave up`.
  bench.orchestrator(ROLLOUT_TIMES);
  for (const { nodes: size, goal } of SIZES) {
    const took: number[] = [];
    for (let round = 1; round <= ROUNDS; round += 1) {
      const name = `s${size}-${round}`;
      const share = { cpu: 10, memory: 64 * 2 ** 20, disk: 0, ports: [] };
      const wish = { name, count: size, perSite: null, where: {}, share, teams: [] };
      const began = performance.now();
      await slice.create({ ...wish, expires: Date.now() + 7 * 24 * 3600_000 }, acting());
      await run({ name, services: ['web:1'] }, acting());
      const usable = () =>
        nodes.filter(({ services }) =>
          services.status().some((one) => one.name === `fleet/web@${name}` && one.health === 'healthy'),
        ).length;
      while (usable() < size) {
        if (performance.now() - began > 600_000) throw new Error(`${usable()} of ${size} run it`);
        await new Promise((done) => setTimeout(done, 50));
      }
      took.push((performance.now() - began) / 1000);
      await slice.remove({ name, reason: 'the next one' }, acting());
    }
    const ours = median(took);
    console.log(`${size} nodes: ${took.map((one) => one.toFixed(1)).join(', ')} s, ${load()}`);
    console.log(
      `bench slice-start-${size} ${ours.toFixed(1)} s vs goal ${goal} s ratio ${(ours / goal).toFixed(2)}`,
    );
  }
} finally {
  for (const end of ends) await end();
}
process.exit(0);
