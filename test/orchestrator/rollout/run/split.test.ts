/** A site loses its uplink in the middle of a wave. */
import test from 'ava';
import { UNDER_WAY } from '../../../../orchestrator/rollout/node-step.ts';
import { benchFor, hasEnded, SPEC, twice } from './support.ts';

test.serial(
  'nodes that cannot be reached in the middle of a wave cost nothing when they are back in time',
  async (t) => {
    const bench = await benchFor(t, { count: 8, sim: { stage: 1_000 } });
    bench.orchestrator();
    const patient = {
      stage: '1h',
      activate: '1h',
      rollback: '1h',
      unhealthy: '1h',
      silent: '1h',
      resend: '1s',
    };
    const id = await bench.start({
      waves: [{ name: 'canary', take: 1 }, { take: 'rest' }],
      timeouts: { ...SPEC.timeouts, ...patient },
      offline: { wait: '1h' },
    });
    await bench.until(id, ({ waves }) => (waves[1]?.counts.staging ?? 0) > 0);
    bench.cut(bench.nodes);
    const split = await bench.until(id, ({ nodes }) => {
      const steps = [...nodes.values()].filter(({ state }) => UNDER_WAY.includes(state));
      return steps.length > 0 && steps.every(({ reachable }) => !reachable);
    });
    t.is(split.rollout.state, 'running');
    t.is(split.rollout.failures, 0);
    bench.cut([]);
    const end = await bench.until(id, hasEnded);
    t.is(end.rollout.state, 'done', end.rollout.why);
    t.is(end.rollout.failures, 0);
    t.deepEqual([...new Set(bench.nodes.map(({ running }) => running))], ['2.0']);
    t.deepEqual([...twice(bench.nodes, 'wrote', '2.0'), ...twice(bench.nodes, 'booted', '2.0')], []);
  },
);
