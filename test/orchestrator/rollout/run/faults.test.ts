import test from 'ava';
import type { Faults } from '../../../../lab/sim/fault.ts';
import type { RolloutState } from '../../../../orchestrator/rollout/engine.ts';
import { operate } from '../../../../orchestrator/rollout/run/operate.ts';
import { benchFor, hasEnded, SPEC, twice } from './support.ts';

test.serial(
  'a version that is ill everywhere stops at the canary and is taken back, newest first',
  async (t) => {
    const ill: Faults = (_node, version) => (version === '2.0' ? 'unhealthy' : null);
    const bench = await benchFor(t, { count: 20, faults: ill });
    bench.orchestrator();
    const id = await bench.start({
      waves: [{ name: 'canary', take: 3 }, { take: 'rest' }],
      budget: { wave: 2, whole: 2 },
    });
    const end = await bench.until(id, hasEnded);
    t.is(end.rollout.state, 'failed', end.rollout.why);
    t.is(end.rollout.touches, 3);
    t.deepEqual([...new Set(bench.nodes.map((node) => node.running))], ['1.0']);
    // Of those that were touched, each went there and back once; the others never moved.
    const boots = bench.nodes.map((node) =>
      node.deeds.filter((deed) => deed.what === 'booted').map((d) => d.version),
    );
    t.is(boots.filter((versions) => versions.join() === '1.0,2.0,1.0').length, 3);
    t.is(boots.filter((versions) => versions.join() === '1.0').length, 17);
    t.deepEqual(
      [...end.nodes.values()].filter((node) => node.touch > 0).map((node) => node.state),
      ['rolled-back', 'rolled-back', 'rolled-back'],
    );
  },
);

test.serial('paused, nothing new starts; resumed, it goes on to its end', async (t) => {
  const bench = await benchFor(t, { count: 12 });
  bench.orchestrator();
  const id = await bench.start();
  await bench.until(id, ({ waves }) => waves[0]?.state === 'done');
  await operate(bench.redis, id, { type: 'pause', by: 'operator:ann', why: 'lunch' });
  // What is under way comes to its end, short of a restart; the clock of the rollout shows that it is looked at all the while.
  const settled = (state: RolloutState) =>
    [...state.active].every((node) => state.nodes.get(node)?.state === 'staged');
  const paused = await bench.until(id, settled);
  const done = () => bench.nodes.filter((node) => node.running === '2.0').length;
  const before = done();
  await bench.until(id, ({ rollout }) => rollout.clock > paused.rollout.clock + 2_000);
  t.is(done(), before);
  t.true(before < 12);
  await operate(bench.redis, id, { type: 'resume', by: 'operator:ann' });
  const end = await bench.until(id, hasEnded);
  t.is(end.rollout.state, 'done', end.rollout.why);
  t.deepEqual(twice(bench.nodes, 'booted', '2.0'), []);
});

test.serial('every fault ends in a named state and leaves the last good image', async (t) => {
  const kinds = [
    'slow',
    'half-write',
    'panic',
    'lies-installed',
    'old-image-returns',
    'flaps',
    'reboot-loop',
    'vanishes',
    'hang',
  ] as const;
  const faults: Faults = (node, version) => (version === '2.0' ? (kinds[node] ?? null) : null);
  const bench = await benchFor(t, { count: 14, faults, sim: { trouble: 1_500 } });
  bench.orchestrator();
  const id = await bench.start({
    waves: [{}],
    budget: { wave: 14, whole: 14 },
    flaps: 1,
    attempts: 1,
    timeouts: {
      ...SPEC.timeouts,
      stage: '10s',
      activate: '10s',
      rollback: '10s',
      silent: '8s',
      resend: '2s',
    },
  });
  const end = await bench.until(id, hasEnded);
  t.is(end.rollout.state, 'partial', end.rollout.why);
  const of = (n: number) => end.nodes.get(bench.nodes[n]!.id)!;
  const states = Object.fromEntries(kinds.map((kind, n) => [kind, of(n).state]));
  t.deepEqual(states, {
    slow: 'done',
    'half-write': 'done',
    panic: 'rolled-back',
    'lies-installed': 'rolled-back',
    'old-image-returns': 'rolled-back',
    flaps: 'rolled-back',
    'reboot-loop': 'rolled-back',
    vanishes: 'needs-recovery',
    hang: 'needs-recovery',
  });
  for (const node of bench.nodes) t.true(node.has(node.lastGood), `${node.number}`);
  // Nobody counts as done who does not really run it.
  for (const step of end.nodes.values()) {
    const node = bench.nodes.find(({ id: of }) => of === step.node)!;
    t.is(
      step.state === 'done',
      node.running === '2.0' && node.up,
      `${node.number} ${step.state} ${step.why}`,
    );
  }
});
