import test from 'ava';
import fc from 'fast-check';
import { BROKE } from './broke.ts';
import { type DriveOptions, drive } from './drive.ts';
import { FAULTS } from './model-node.ts';

const budgets = fc.constantFrom({ wave: 0, whole: 0 }, { wave: 2, whole: 3 }, { wave: '30%', whole: '20%' });
const limits = fc.constantFrom(
  { whole: 100, site: '50%', rack: 2 },
  { whole: 4, site: 1, rack: 1 },
  { whole: 1, site: 1, rack: 1 },
);
const night = { zone: 'UTC', from: '02:00', to: '12:00' };
/** What waves and the way back have of their own. */
const paces = fc.constantFrom(
  {},
  {},
  { staging: 'ahead' },
  {
    waves: [
      { name: 'canary', take: 2, windows: [] },
      { take: '30%', limits: { rack: 3 } },
      { limits: { whole: 2 } },
    ],
    windows: [{ ...night, margin: '30m' }],
    rollback: { limits: { whole: 3, site: 1 } },
    staging: 'ahead',
  },
  {
    waves: [
      { take: 3, limits: { whole: 2 } },
      { windows: [night], limits: { whole: 8, site: '100%', rack: 4 } },
    ],
    rollback: { limits: { whole: 50, site: '100%', rack: 3 } },
  },
);
const gates = fc.constantFrom([], [{ kind: 'pcr11' }], [{ kind: 'check', name: 'ok' }]);
const world = fc.record({
  seed: fc.nat(),
  nodes: fc.integer({ min: 1, max: 40 }),
  sites: fc.integer({ min: 1, max: 6 }),
  faults: fc.constantFrom(0, 0.05, 0.2, 0.6),
  kinds: fc.subarray([...FAULTS], { minLength: 1 }),
  disorder: fc.constantFrom(0, 0.05, 0.4),
  crash: fc.constantFrom(0, 0.1, 0.3),
  failover: fc.constantFrom(0, 0, 0.03),
  operator: fc.constantFrom(0, 0, 0.05),
  barrier: fc.boolean(),
  outside: fc.constantFrom(0, 0, 4, 12),
  spec: fc
    .tuple(
      fc.record({ budget: budgets, limits, gates, onSpent: fc.constantFrom('pause', 'rollback') }),
      paces,
    )
    .map(([spec, pace]) => ({ ...spec, ...pace })),
});

test('whatever nodes, network, store and operators do, every rule holds and the rollout ends', (t) => {
  const ends = new Set<string>();
  fc.assert(
    fc.property(world, (options) => {
      const { state, violations } = drive(options as DriveOptions);
      ends.add(state.rollout.state);
      // Thrown, so that fast-check names the world in which it happened.
      if (violations.length > 0) throw new Error(violations.join('\n'));
    }),
    { numRuns: Number(process.env.FAULT_RUNS ?? 150), examples: BROKE.map((one) => [one] as never) },
  );
  // A driver that never got anywhere would find no broken rule either.
  for (const end of ['done', 'partial', 'failed']) t.true(ends.has(end), `no run ended ${end}`);
});

test('where nodes beside it come and go: the limits hold, somebody waits for them, and everything is done in the end', (t) => {
  let waited = 0;
  for (let seed = 1; seed <= 12; seed += 1) {
    const { state, violations, ...world } = drive({
      ...{ seed, nodes: 30, sites: 3, outside: 15, faults: 0, disorder: 0.05, crash: 0.1 },
      // One of these two binds: how many may be down, or the last live one.
      spec: {
        limits: seed % 2 === 0 ? { whole: 100, site: '30%', rack: 1 } : { whole: 100, site: '100%', rack: 4 },
      },
    });
    t.deepEqual(violations, []);
    t.is(state.rollout.state, 'done', state.rollout.why);
    waited += world.waited;
  }
  t.true(waited > 100, `${waited}`);
});

test('without faults everything is done, whatever happens to the messages', (t) => {
  // Where a third of all words is late or lost, two minutes without one prove nothing.
  const spec = { timeouts: { silent: '10m' } };
  for (let seed = 1; seed <= 10; seed += 1) {
    const { state, violations } = drive({
      seed,
      nodes: 60,
      sites: 5,
      faults: 0,
      disorder: 0.3,
      crash: 0.1,
      spec,
    });
    t.deepEqual(violations, []);
    t.is(state.rollout.state, 'done', state.rollout.why);
  }
});

test('a version that never boots costs no more than the canary wave', (t) => {
  for (const fault of ['panic', 'hang', 'sick', 'reboot-loop'] as const) {
    const { state, violations, models } = drive({
      seed: 7,
      nodes: 200,
      sites: 10,
      faults: 1,
      kinds: [fault],
    });
    t.deepEqual(violations, []);
    t.is(state.rollout.state, 'failed', fault);
    const touched = [...state.nodes.values()].filter((node) => node.touch > 0);
    t.is(touched.length, 5, fault);
    t.true(touched.every((node) => node.wave === 0));
    const down = [...models.values()].filter((model) => model.running !== '1.0' || !model.up || model.gone);
    t.is(down.length, fault === 'hang' ? 5 : 0, 'only a hang needs a power cycle');
  }
});

test('1,000 nodes with 5 % faults, within a budget and beyond it', (t) => {
  const within = drive({
    seed: 1,
    nodes: 1000,
    sites: 50,
    faults: 0.05,
    spec: { budget: { wave: '10%', whole: '10%' } },
  });
  t.deepEqual(within.violations, []);
  t.is(within.state.rollout.state, 'partial');
  const beyond = drive({
    seed: 2,
    nodes: 1000,
    sites: 50,
    faults: 0.05,
    spec: { budget: { wave: 3, whole: 5 } },
  });
  t.deepEqual(beyond.violations, []);
  t.is(beyond.state.rollout.state, 'failed');
});
