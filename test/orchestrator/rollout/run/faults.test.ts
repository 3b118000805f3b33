import test from 'ava';
import type { Faults } from '../../../../lab/sim/fault.ts';
import type { RolloutState } from '../../../../orchestrator/rollout/engine.ts';
import { operate } from '../../../../orchestrator/rollout/run/operate.ts';
import { leaseKey } from '../../../../orchestrator/upkeep/lease.ts';
import { realSigner } from '../../../support/real-signer.ts';
import { temporaryData } from '../../fleet/support.ts';
import { benchFor, hasEnded, IMAGES, SPEC, twice } from './support.ts';

test('a version that is ill everywhere stops at the canary and is taken back, newest first', async (t) => {
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
});

test('paused, nothing new starts; resumed, it goes on to its end', async (t) => {
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

// These have limits of a few seconds, which the others of this file must not use up.
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

test('a word of an operator is taken up by whoever drives it, and refused where it cannot be', async (t) => {
  const bench = await benchFor(t, { count: 6, sim: { stage: 2_000 } });
  const id = await bench.start({ waves: [{ take: 3 }, { take: 'rest' }] });
  // Nobody drives it: written from here.
  t.is((await operate(bench.redis, id, { type: 'pause', by: 'operator:ann', why: 'x' })).state, 'paused');
  await operate(bench.redis, id, { type: 'resume', by: 'operator:ann' });
  bench.orchestrator();
  await bench.until(id, ({ active }) => active.size > 0);
  const paused = await operate(bench.redis, id, { type: 'pause', by: 'operator:ann', why: 'lunch' });
  t.is(paused.state, 'paused');
  t.is((await bench.state(id)).rollout.why, 'lunch', 'it holds when the word comes back');
  await t.throwsAsync(operate(bench.redis, id, { type: 'pause', by: 'operator:ann', why: 'again' }), {
    code: 'ROLLOUT_CANNOT',
  });
  t.is((await operate(bench.redis, id, { type: 'resume', by: 'operator:ann' })).state, 'running');
  t.is((await bench.until(id, hasEnded)).rollout.state, 'done');
});

test('a word that was taken back before anybody took it up is nobody’s any more', async (t) => {
  const bench = await benchFor(t, { count: 2 });
  const id = await bench.start();
  // A driver that was stopped: its lease still stands.
  await bench.redis.set(leaseKey(id), 'stopped', 'PX', 60_000);
  const paused = await operate(bench.redis, id, { type: 'pause', by: 'operator:ann', why: 'lunch' });
  t.is(paused.state, 'paused', 'written from here after a while');
  await operate(bench.redis, id, { type: 'resume', by: 'operator:ann' });
  await bench.redis.del(leaseKey(id));
  bench.orchestrator();
  const end = await bench.until(id, hasEnded);
  t.is(end.rollout.state, 'done', 'the old words still lie in the inbox');
});

test.serial(
  'the uplink is cut for longer than nodes may be silent: a pause that says so, and nobody is taken back',
  async (t) => {
    const bench = await benchFor(t, { count: 8 });
    bench.orchestrator();
    const timeouts = { ...SPEC.timeouts, silent: '3s', activate: '3s' };
    const bake = { node: '2s', wave: '6s' };
    const id = await bench.start({ waves: [{ take: 3 }, { take: 'rest' }], timeouts, bake });
    await bench.until(id, ({ waves }) => waves[0]?.counts.done === 3);
    bench.cut(bench.nodes);
    const cut = await bench.until(id, ({ rollout }) => rollout.held !== null);
    t.is(cut.rollout.state, 'paused');
    t.is(cut.rollout.held?.cause.kind, 'own-uplink', cut.rollout.why);
    await bench.until(id, ({ rollout }) => rollout.clock > cut.rollout.clock + 10_000);
    bench.cut([]);
    const end = await bench.until(id, hasEnded);
    t.is(end.rollout.state, 'done', end.rollout.why);
    t.is(end.rollout.failures + end.rollout.excused, 0);
    t.deepEqual(twice(bench.nodes, 'booted', '2.0'), []);
  },
);

test('the orchestrator’s clock is two hours ahead: nobody needs recovery, and it goes on when it is right', async (t) => {
  const bench = await benchFor(t, { count: 6 });
  let ahead = 2 * 3600_000;
  const now = () => Date.now() + ahead;
  const wrong = await realSigner(await temporaryData(t), bench.orderKey, IMAGES, now);
  t.teardown(wrong.close);
  bench.orchestrator({}, { signer: wrong.client, now });
  const timeouts = { ...SPEC.timeouts, stage: '20s', resend: '1s' };
  const id = await bench.start({ waves: [{}], timeouts, attempts: 1 });
  const held = await bench.until(id, ({ rollout }) => rollout.held !== null);
  t.is(held.rollout.held?.cause.kind, 'own-clock', held.rollout.why);
  await bench.until(id, ({ rollout }) => rollout.clock > held.rollout.clock + 22_000);
  ahead = 0;
  const end = await bench.until(id, hasEnded);
  t.is(end.rollout.state, 'done', end.rollout.why);
  t.is(end.rollout.failures + end.rollout.excused, 0);
});
