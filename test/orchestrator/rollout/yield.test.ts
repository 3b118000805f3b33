/** A rollout that stands still while a more urgent one goes first. */
import test from 'ava';
import type { EngineEvent } from '../../../orchestrator/rollout/event.ts';
import { fleetOf, WITH_BARRIER } from './fleet.ts';
import { Script } from './script.ts';

const PREEMPT: EngineEvent = { type: 'preempt', by: 'operator:bob', with: 'ro-2' };
const proceed = (...taken: string[]): EngineEvent => ({
  ...{ type: 'proceed', of: 'ro-2' },
  taken: taken.map((node) => ({ node, by: 'ro-2' })),
});
const LIMITS = { whole: 3, site: 9, rack: 9, down: 'ignore' };

/** One bakes, two fetch the file, and the others wait. */
function busy(spec: object = {}) {
  const s = new Script(fleetOf(6, 1), { limits: LIMITS, ...spec });
  s.start();
  const [up, staging] = s.in('staging') as [string, string];
  s.upgrade(up);
  return { s, up, staging, waiting: s.in('pending') };
}

/** Until nothing is under way any more. */
function rest(s: Script, ...well: string[]) {
  for (let i = 0; i < 10 && s.rollout.yields?.rests !== true; i += 1) {
    for (const id of s.in('rolling-back')) s.obey(id);
    s.pass(20, well);
  }
}

test('it starts nobody, lets go of who has only the file, and brings to its end who has restarted', (t) => {
  const s = new Script(fleetOf(6, 1), { limits: LIMITS });
  s.start();
  const [up, staged, staging] = s.in('staging') as [string, string, string];
  s.upgrade(up);
  s.send({ type: 'pause', by: 'operator:ann', why: 'what is this?' });
  s.obey(staged);
  s.send(PREEMPT);
  t.like(s.rollout, { state: 'paused', before: 'running', by: 'operator:bob' });
  t.regex(s.rollout.why, /^stands still for ro-2; it goes on by itself/);
  t.like(s.rollout.yields, { to: 'ro-2', rests: false });
  for (const id of [staged, staging]) t.is(s.lastCommand(id).kind, 'rollback');
  rest(s, up);
  t.is(s.node(up).state, 'done');
  t.deepEqual(s.in('taken-back'), [staged, staging].sort());
  t.like(s.rollout, { failures: 0, yields: { rests: true } });
  t.is(s.in('pending').length, 3);
  s.pass(3600, [up]);
  t.is(s.in('pending').length, 3, 'however long it takes');
  s.send(proceed());
  t.like(s.rollout, { state: 'paused', why: 'what is this?', by: 'operator:ann' }, 'as a person had left it');
  t.is(s.rollout.yields, undefined);
});

test('it goes on by itself with those that are left; who has the newer one is no failure', (t) => {
  const { s, up, staging, waiting } = busy();
  s.send(PREEMPT);
  rest(s, ...s.state.nodes.keys());
  const [newer] = waiting as [string];
  s.send({ ...proceed(), of: 'ro-9' } as EngineEvent);
  t.is(s.rollout.state, 'paused', 'not the one that it waits for');
  s.send(proceed(newer, up));
  t.is(s.rollout.state, 'running');
  t.like(s.node(newer), { state: 'skipped', taken: true, failed: false, why: 'ro-2 has it' });
  t.is(s.node(up).state, 'done', 'what is done is done, until it says something else');
  for (let i = 0; i < 20 && s.rollout.state === 'running'; i += 1) {
    s.upgrade(...s.in('staging'));
    s.pass(60, [...s.state.nodes.keys()]);
  }
  t.like(s.rollout, { state: 'done', failures: 0 }, s.rollout.why);
  t.regex(s.rollout.why, /every node is on 2\.0, but for 1 that another rollout has taken/);
  t.is(s.node(staging).state, 'done', 'let go, and taken again in its turn');
  t.is(s.send({ type: 'include', by: 'ann', node: newer }).refusals.length, 1);
});

test('people: pause is for afterwards, resume is for the other one, abort and rollback are as ever', (t) => {
  const { s } = busy();
  s.send(PREEMPT);
  t.is(s.send({ ...PREEMPT, with: 'ro-3' } as EngineEvent).refusals.length, 1);
  t.is(s.send(PREEMPT).refusals.length, 0);
  t.regex(s.send({ type: 'resume', by: 'ann' }).refusals[0]?.what ?? '', /stands still for ro-2/);
  s.send({ type: 'pause', by: 'ann', why: 'not tonight' });
  t.regex(s.rollout.why, /stands still for ro-2; then it stays paused: not tonight/);
  rest(s, ...s.state.nodes.keys());
  s.send(proceed());
  t.like(s.rollout, { state: 'paused', why: 'not tonight', by: 'ann' });
  s.send({ type: 'resume', by: 'ann' });
  t.is(s.rollout.state, 'running');

  for (const [type, state] of [
    ['abort', 'aborted'],
    ['rollback', 'aborted'],
  ] as const) {
    const { s, up } = busy();
    s.send(PREEMPT);
    s.send({ type, by: 'ann', why: 'enough' });
    t.is(s.rollout.yields, undefined);
    for (let i = 0; i < 6; i += 1) {
      for (const id of s.in('rolling-back')) s.obey(id);
      s.pass(30, [...s.state.nodes.keys()]);
    }
    t.is(s.rollout.state, state, s.rollout.why);
    t.is(s.node(up).state, type === 'abort' ? 'done' : 'taken-back');
  }
});

test('only what goes forward stands still', (t) => {
  const fresh = new Script(fleetOf(2, 1), {});
  t.is(fresh.send(PREEMPT).refusals.length, 1);
  const { s } = busy();
  s.send({ type: 'rollback', by: 'ann', why: 'bad' });
  t.is(s.send(PREEMPT).refusals.length, 1);
  s.send({ type: 'pause', by: 'ann', why: 'lunch' });
  t.is(s.send(PREEMPT).refusals.length, 1);
  t.is(s.rollout.yields, undefined);
});

test('a version that turns out bad meanwhile is judged: it goes back, or waits for a person', (t) => {
  for (const onSpent of ['rollback', 'pause'] as const) {
    const { s, up } = busy({ onSpent, budget: { wave: 0, whole: 0 } });
    s.send(PREEMPT);
    s.send(s.report(up, { image: '1.0', bootId: 'fell-back', failed: ['2.0'] }));
    if (onSpent === 'rollback') {
      t.is(s.rollout.state, 'rolling-back');
      t.is(s.rollout.yields, undefined);
      continue;
    }
    t.is(s.rollout.yields?.to, 'ro-2');
    rest(s);
    s.send(proceed());
    t.is(s.rollout.state, 'paused');
    t.regex(s.rollout.why, /1 failed/);
  }
});

test('who stands on its way between two versions waits there', (t) => {
  const s = new Script(fleetOf(2, 1), { limits: { ...LIMITS, whole: 1 }, barriers: 'pass' }, WITH_BARRIER);
  s.start();
  const [id] = s.in('staging') as [string];
  s.upgrade(id);
  s.send(PREEMPT);
  rest(s, id);
  t.like(s.node(id), { state: 'pending', hop: 1, slot: false });
  s.send(proceed());
  t.like(s.node(id), { state: 'staging', hop: 1 });
  t.is(s.rollout.failures, 0);
});

test('a wave that the other one has taken whole proves nothing, and stops nobody; the first wave proves it', (t) => {
  for (const first of [false, true]) {
    const s = new Script(fleetOf(4, 1), { limits: LIMITS, waves: [{ take: 1 }, { take: 2 }, {}] });
    s.start();
    if (!first) {
      s.upgrade(...s.in('staging'));
      s.pass(20, [...s.state.nodes.keys()]);
    }
    s.send(PREEMPT);
    rest(s, ...s.state.nodes.keys());
    s.send(proceed(...s.state.order[first ? 0 : 1]!));
    for (let i = 0; i < 20 && s.rollout.state === 'running'; i += 1) {
      s.upgrade(...s.in('staging'));
      s.pass(60, [...s.state.nodes.keys()]);
    }
    t.is(s.rollout.state, first ? 'paused' : 'done', s.rollout.why);
  }
});

test('who waits and belongs to another rollout by now is left to that one, also when this one ends', (t) => {
  const { s, waiting } = busy();
  const [one, two] = waiting as [string, string];
  s.send({ type: 'taken', node: one, by: 'ro-3' });
  s.send(PREEMPT);
  s.send({ type: 'abort', by: 'ann', why: 'enough' }, { type: 'taken', node: two, by: 'ro-2' });
  t.like(s.node(one), { state: 'skipped', taken: true, why: 'ro-3 has it' });
  t.like(s.node(two), { state: 'skipped', taken: true, why: 'ro-2 has it' });
  t.like(s.rollout, { state: 'aborting', failures: 0, gone: 2 });
});

test('one that is asked while it stands still, and runs what the urgent one has brought, is that one’s', (t) => {
  const { s, waiting } = busy();
  const [moved] = waiting as [string];
  s.send(s.report(moved));
  s.send(PREEMPT);
  s.reboot(moved, '3.0');
  s.send(s.report(moved));
  t.like(s.node(moved), { state: 'skipped', taken: true, why: 'ro-2 has it' });
  t.is(s.rollout.gone, 1);
});

test('to have had the file and to have let go of it costs no try', (t) => {
  const s = new Script(fleetOf(6, 1), { limits: LIMITS });
  s.start();
  const [one] = s.in('staging') as [string];
  s.obey(one);
  s.send(PREEMPT);
  rest(s, ...s.state.nodes.keys());
  s.send(proceed());
  t.is(s.node(one).attempts, 1, 'it is at its first try again');
});
