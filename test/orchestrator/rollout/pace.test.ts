/** Limits and windows that a wave, or the way back, has of its own. */
import test from 'ava';
import { createRollout, loadRollout } from '../../../orchestrator/rollout/engine.ts';
import type { RolloutSetup } from '../../../orchestrator/rollout/record.ts';
import { FACTS, fleetOf, planOf } from './fleet.ts';
import { Script } from './script.ts';

// Whole racks restart at once.
const LOOSE = {
  limits: { whole: 100, site: 100, rack: 100, down: 'ignore' },
  budget: { wave: 100, whole: 100 },
};
const at = (time: string, day = 1) => Date.parse(`1970-01-0${day}T${time}Z`);
const night = (more = {}) => [{ zone: 'UTC', from: '22:00', to: '24:00', ...more }];

/** All nodes are done, in the order of their touches. */
function afterAll(spec: object, count = 8): Script {
  const s = new Script(fleetOf(count, 1), { ...LOOSE, ...spec });
  s.start();
  while (s.in('done').length < count) {
    s.upgrade(...s.in('staging'));
    s.pass(60, s.in('baking'));
  }
  return s;
}

/** Obeys until it has ended. @returns how many went back at the same time, each time */
function back(s: Script): number[] {
  const sizes: number[] = [];
  while (s.rollout.state === 'rolling-back') {
    const now = s.in('rolling-back');
    if (now.length === 0) throw new Error('nobody goes back');
    sizes.push(now.length);
    for (const id of now) s.obey(id);
  }
  return sizes;
}

test('the canary goes by day, one after the other; the big wave at night, three at once', (t) => {
  const s = new Script(fleetOf(8, 1), {
    ...LOOSE,
    windows: night(),
    waves: [{ take: 2, windows: [], limits: { whole: 1 } }, { limits: { whole: 3 } }],
  });
  s.at = at('12:00');
  s.start();
  for (let i = 0; i < 2; i += 1) {
    const canary = s.in('staging');
    t.is(canary.length, 1);
    s.upgrade(...canary);
    s.pass(60, [...canary, ...s.in('done')]);
  }
  s.pass(70, s.in('done'));
  t.is(s.state.waves[1]!.state, 'open');
  t.is(s.rollout.inFlight.whole, 0, 'it is day');
  s.at = at('22:00');
  s.send({ type: 'tick' });
  t.is(s.in('staging').length, 3);
});

test('what a wave leaves out of its limits is the rollout’s, and shares are of the whole rollout', (t) => {
  const plan = planOf(fleetOf(40, 2), {
    limits: { whole: 10, site: '50%', rack: 2, down: 'ignore' },
    waves: [{ take: 4, limits: { site: '25%' } }, {}],
  });
  t.like(plan.waves[0]!.limits, { whole: 10, site: { s0: 5, s1: 5 } });
  t.is(plan.waves[0]!.limits!.rack['s0/r0'], 2);
  t.is(plan.waves[1]!.limits, undefined);
  t.is(plan.limits.site.s0, 10);
});

test('nodes that are late go by the limits and windows of the rollout', (t) => {
  const s = new Script(fleetOf(3, 1), {
    ...LOOSE,
    windows: night(),
    waves: [{ take: 2, windows: [] }, { windows: [] }],
  });
  const late = [...s.state.nodes.values()].find(({ wave }) => wave === 1)!.node;
  s.at = at('12:00');
  s.send({ type: 'unreachable', node: late });
  s.start();
  s.upgrade(...s.in('staging'));
  s.pass(130, s.in('baking'));
  s.send({ type: 'resume', by: 'ben' }, s.report(late));
  t.like(s.node(late), { wave: 2, state: 'pending' });
  s.at = at('22:00');
  s.send({ type: 'tick' });
  t.is(s.node(late).state, 'staging');
});

test('the way back has its own limits: slower, or faster', (t) => {
  const slow = afterAll({ rollback: { limits: { site: 1 } } });
  slow.send({ type: 'rollback', by: 'ben', why: 'slow disks' });
  t.deepEqual(back(slow), Array(8).fill(1));
  const fast = afterAll({
    limits: { whole: 2, site: 2, rack: 2, down: 'ignore' },
    rollback: { limits: { whole: 4, site: 4, rack: 4 } },
  });
  fast.send({ type: 'rollback', by: 'ben', why: 'slow disks' });
  t.deepEqual(back(fast), [4, 4]);
});

test('who is up when everything turns back is disrupted by the limits of the way back', (t) => {
  const s = new Script(fleetOf(6, 1), { ...LOOSE, rollback: { limits: { whole: 2 } } });
  s.start();
  const [restarting, ...others] = s.in('staging') as [string, ...string[]];
  s.upgrade(...others);
  s.obey(restarting);
  t.is(s.node(restarting).state, 'activating');
  s.send({ type: 'rollback', by: 'ben', why: 'slow disks' });
  t.is(s.in('rolling-back').length, 2);
  t.is(s.node(restarting).state, 'rolling-back', 'it is down in any case');
  t.is(s.in('baking').length, 4);
  t.true(back(s).every((size) => size <= 2));
  t.is(s.in('taken-back').length, 6);
});

test('a single node that fails goes back by the limits of the open wave', (t) => {
  const s = new Script(fleetOf(4, 1), {
    ...LOOSE,
    waves: [{ take: 1 }, { limits: { whole: 1 } }],
    rollback: { limits: { whole: 4 } },
  });
  s.start();
  const [first] = s.in('staging') as [string];
  s.upgrade(first);
  s.pass(130, [first]);
  const [second] = s.in('staging') as [string];
  s.reboot(first, '1.0');
  s.send(s.report(first));
  t.is(s.node(first).state, 'failed', 'another one has the place');
  s.upgrade(second);
  s.pass(60, [first, second]);
  t.is(s.node(first).state, 'rolling-back');
  t.is(s.in('staging').length, 0);
});

test('more at once, said while it runs, holds in every wave; while it goes back it is about the way back', (t) => {
  const s = afterAll({
    limits: { whole: 8, site: 8, rack: 8, down: 'ignore' },
    waves: [{ take: 2, limits: { whole: 2 } }, { limits: { whole: 6 } }],
    rollback: { limits: { whole: 4 } },
  });
  const whole = (setup: RolloutSetup) => [
    setup.limits,
    ...setup.waves.map(({ limits }) => limits),
    setup.back,
  ];
  const edited = (spec: object) => {
    const other = new Script(fleetOf(8, 1), { ...LOOSE, ...spec });
    other.start();
    other.send({ type: 'edit', by: 'ben', changes: { whole: 3 } });
    return other;
  };
  const forward = edited({
    waves: [{ take: 1 }, { limits: { whole: 6 } }],
    rollback: { limits: { whole: 4 } },
  });
  const [canary] = forward.in('staging') as [string];
  forward.upgrade(canary);
  forward.pass(130, [canary]);
  t.is(forward.in('staging').length, 3, 'not six');
  t.is(whole(forward.state.setup)[2]?.whole, 6, 'the record of the plan stays');
  forward.send({ type: 'rollback', by: 'ben', why: '' });
  forward.upgrade();
  t.deepEqual(forward.rollout.edits, { whole: 3 });

  s.send({ type: 'rollback', by: 'ben', why: 'bad' });
  t.is(s.in('rolling-back').length, 4);
  s.send({ type: 'edit', by: 'ben', changes: { whole: 6 } });
  t.is(s.in('rolling-back').length, 6);
  t.deepEqual(s.rollout.edits, { wholeBack: 6 });
  s.send({ type: 'pause', by: 'ben', why: '' }, { type: 'edit', by: 'ben', changes: { whole: 1 } });
  t.deepEqual(s.rollout.edits, { wholeBack: 1 }, 'also while that is paused');
});

for (const [what, spec] of [
  ['an image', {}],
  ['a configuration', { image: undefined, config: 'c1' }],
] as const)
  test(`in the last margin of a window nobody begins; what began goes on to its end: ${what}`, (t) => {
    const limits = { whole: 2, site: 2, rack: 2, down: 'ignore' };
    const s = new Script(fleetOf(4, 1), { ...LOOSE, ...spec, limits, windows: night({ margin: '15m' }) });
    s.at = at('23:44:00');
    s.start();
    const [a, b] = s.in('staging') as [string, string];
    s.obey(a);
    t.is(s.node(a).state, 'activating');
    s.at = at('23:45:00');
    s.obey(b);
    t.is(s.node(b).state, 'staged');
    s.obey(a);
    s.pass(70, [a, b]);
    t.is(s.node(a).state, 'done');
    t.is(s.in('pending').length, 2, 'its place is free, and nobody takes it');
    s.at = at('22:00:00', 2);
    s.send({ type: 'tick' });
    t.is(s.node(b).state, 'activating');
    t.is(s.in('staging').length, 1);
  });

test('when notAfter comes before the window opens again, somebody is told', (t) => {
  const s = new Script(fleetOf(1, 1), {
    ...LOOSE,
    windows: night(),
    notAfter: '1970-01-02T12:00:00Z',
  });
  s.at = at('23:59:00');
  s.start();
  s.at = at('06:00:00', 2);
  s.obey('n00000');
  t.is(s.node('n00000').state, 'staged');
  t.is(s.rollout.state, 'running');
  s.at = at('12:00:00', 2);
  s.send({ type: 'tick' });
  t.regex(s.rollout.why, /notAfter has come/);
});

test('a rollout that was recorded before waves had a pace of their own goes on, and back', (t) => {
  const s = new Script(fleetOf(4, 1), {
    limits: { whole: 2, site: 2, rack: 2, down: 'ignore' },
    windows: night(),
  });
  const plan = planOf(fleetOf(4, 1), {
    bake: { node: '1m', wave: '1m' },
    waves: [{}],
    limits: { whole: 2, site: 2, rack: 2, down: 'ignore' },
    windows: night(),
  });
  const { setup, rollout, waves, nodes } = createRollout(plan, { id: 'r1', author: 'ann', at: 0 });
  const { rollback: _, staging: __, ...spec } = setup.spec;
  const older = JSON.parse(JSON.stringify({ ...setup, spec })) as RolloutSetup;
  s.state = loadRollout(older, rollout, waves, nodes.values());
  s.at = at('22:00');
  s.start();
  t.is(s.in('staging').length, 2);
  s.upgrade(...s.in('staging'));
  s.pass(60, s.in('baking'));
  s.send({ type: 'edit', by: 'ben', changes: { whole: 1 } });
  s.send({ type: 'rollback', by: 'ben', why: '' });
  t.is(s.rollout.inFlight.whole, 1, 'by what was said of the whole');
  back(s);
  t.is(s.rollout.state, 'aborted');
  t.is(FACTS.graph.floor, null);
});
