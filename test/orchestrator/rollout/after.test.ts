import test from 'ava';
import { approvalsFor, nextOf, waitingRollout } from '../../../orchestrator/rollout/after.ts';
import { advance, apply, begin, createRollout } from '../../../orchestrator/rollout/engine.ts';
import type { OperatorEvent } from '../../../orchestrator/rollout/event.ts';
import type { After, RolloutStatus } from '../../../orchestrator/rollout/record.ts';
import { fleetOf, node, planOf, specOf } from './fleet.ts';
import { Script } from './script.ts';

const prior = (state: RolloutStatus, before: 'running' | 'rolling-back' | null = null) => ({
  ...{ state, before, by: 'operator:bob' },
});
const after = (how: After['how']): After => ({ rollout: 'ro-1', how });

test('the next one starts when the one before is done, and only then by itself', (t) => {
  for (const how of ['then', 'after'] as const) {
    const next = (state: RolloutStatus) => nextOf(after(how), prior(state));
    t.deepEqual(next('done'), { do: 'start' });
    for (const state of [
      'waiting',
      'planned',
      'awaiting-approval',
      'running',
      'paused',
      'rolling-back',
    ] as const)
      t.deepEqual(next(state), { do: 'wait' }, state);
    t.deepEqual(next('aborting'), { do: 'wait' });
    for (const state of ['partial', 'failed'] as const) t.like(next(state), { do: 'stall' }, state);
    t.deepEqual(next('aborted'), { do: 'drop', why: 'ro-1 ended as aborted', by: 'operator:bob' });
    t.like(nextOf(after(how), null), { do: 'stall' });
  }
});

test('one that takes the place of another asks it to end, but cuts no way back short', (t) => {
  const next = (...which: Parameters<typeof prior>) => nextOf(after('supersede'), prior(...which)).do;
  for (const state of ['waiting', 'planned', 'awaiting-approval', 'running'] as const)
    t.is(next(state), 'end');
  t.is(next('paused', 'running'), 'end');
  t.is(next('paused', 'rolling-back'), 'wait');
  t.is(next('rolling-back'), 'wait');
  t.is(next('aborting'), 'wait');
  for (const state of ['done', 'partial', 'failed', 'aborted'] as const) t.is(next(state), 'start', state);
});

test('what a person has to decide, they decide', (t) => {
  for (const state of ['running', 'done', 'failed', 'aborted'] as const) {
    t.deepEqual(nextOf(after('then'), prior(state), { wait: 'stalled' }), { do: 'wait' });
    t.deepEqual(nextOf(after('then'), prior(state), { wait: 'go' }), { do: 'start' });
  }
});

function waits(how: After['how'], spec: Record<string, unknown> = {}) {
  const options = { id: 'ro-2', author: 'operator:ann', person: ['ann'], at: 0, after: after(how) };
  const state = waitingRollout(specOf(spec), options);
  const say = (event: OperatorEvent) => {
    const step = advance(state, { at: 1, elapsed: 1_000, events: [event, { type: 'tick' }] });
    apply(state, step);
    return step.refusals[0]?.what ?? null;
  };
  return { state, say };
}

test('while it waits nothing is done to it but what decides whether it starts', (t) => {
  const { state, say } = waits('then');
  const by = 'operator:bob';
  const others: OperatorEvent[] = [
    { type: 'start', by },
    { type: 'pause', by, why: '' },
    { type: 'resume', by },
    { type: 'rollback', by, why: '' },
    { type: 'approve', by, person: ['bob'] },
    { type: 'approve', by, person: ['bob'], wave: 0 },
    { type: 'promote', by, why: '', wave: 0 },
    { type: 'skip', by, why: '', node: 'n1' },
    { type: 'skip-wave', by, why: '', wave: 0 },
    { type: 'include', by, node: 'n1' },
    { type: 'include-wave', by, wave: 0 },
    { type: 'edit', by, changes: { onSpent: 'pause' } },
  ];
  for (const event of others) t.regex(say(event) ?? '', /^cannot/, event.type);
  t.like(state.rollout, { state: 'waiting', why: 'waits until ro-1 is done', rev: 0 });
  t.is(say({ type: 'abort', by, why: 'not today' }), null);
  t.like(state.rollout, { state: 'aborted', why: 'not today', by, endedAt: 1 });
});

test('stalled, it says why once, and a person starts it', (t) => {
  const { state, say } = waits('after');
  const stall: OperatorEvent = { type: 'wait', by: 'engine', why: 'ro-1 ended as failed', stalled: true };
  say(stall);
  const { rev } = state.rollout;
  say(stall);
  t.like(state.rollout, { state: 'waiting', why: 'ro-1 ended as failed', wait: 'stalled', rev });
  t.is(say({ type: 'resume', by: 'operator:bob' }), null);
  t.like(state.rollout, { state: 'waiting', wait: 'go', by: 'operator:bob' });
});

test('with approvals: a document is approved as a whole, another one while it waits', (t) => {
  const approve = (name: string): OperatorEvent => ({
    ...{ type: 'approve', by: `operator:${name}`, person: [name] },
  });
  const part = waits('then', { approvals: { count: 1 } });
  t.regex(part.say(approve('bob')) ?? '', /approves all of them/);
  const other = waits('supersede', { approvals: { count: 2 } });
  t.regex(other.say(approve('ann')) ?? '', /author/);
  t.is(other.say(approve('bob')), null);
  t.is(other.say(approve('carl')), null);
  t.is(other.state.rollout.state, 'waiting', 'approved is not started');
  t.is(other.state.rollout.approvals.length, 2);

  const plan = planOf(fleetOf(2, 1), { approvals: { count: 2 } });
  const state = createRollout(plan, { id: 'ro-2', author: 'operator:ann', at: 0 });
  t.is(begin(state, 0).rollout.state, 'awaiting-approval');
  state.rollout.approvals = other.state.rollout.approvals.slice(1);
  t.is(begin(state, 0).rollout.state, 'awaiting-approval', 'one of two');
  state.rollout.approvals = other.state.rollout.approvals;
  t.is(begin(state, 0).rollout.state, 'running');
});

test('approved is what comes after a done one; what a person starts after anything else is approved anew', (t) => {
  const [given, own] = [
    { by: 'operator:bob', at: 1 },
    { by: 'operator:carl', at: 1 },
  ];
  const found = (how: After['how'], state: RolloutStatus | null) =>
    approvalsFor(after(how), state === null ? null : { state, approvals: [given] }, { approvals: [own] });
  t.deepEqual(found('then', 'done'), [given]);
  t.deepEqual(found('after', 'done'), [own]);
  for (const state of ['partial', 'failed', 'aborted', null] as const) {
    t.deepEqual(found('then', state), []);
    t.deepEqual(found('after', state), []);
    t.deepEqual(found('supersede', state), [own]);
  }
});

const SUPERSEDE: OperatorEvent = { type: 'supersede', by: 'operator:bob', with: 'ro-2' };

test('superseded: nobody is begun with, what is only staged is let go, what has restarted comes to its end', (t) => {
  const s = new Script([node('a'), node('b'), node('c'), node('d')], {
    limits: { whole: 3, site: 9, rack: 9 },
  });
  s.start();
  const [up, staged, staging] = s.in('staging') as [string, string, string];
  s.upgrade(up);
  s.send({ type: 'pause', by: 'operator:ann', why: 'what is this?' });
  s.obey(staged);
  const [waiting] = s.in('pending');
  t.deepEqual(
    [staged, staging].map((id) => s.node(id).state),
    ['staged', 'staging'],
  );
  s.send(SUPERSEDE);
  t.like(s.rollout, { state: 'aborting', why: 'superseded by ro-2' });
  for (const id of [staged, staging]) t.is(s.lastCommand(id).kind, 'rollback');
  for (const id of [staged, staging]) s.obey(id);
  s.pass(120, [up]);
  t.is(s.node(up).state, 'done');
  t.deepEqual(
    [staged, staging].map((id) => s.node(id).state),
    ['taken-back', 'taken-back'],
  );
  t.is(s.node(waiting!).touch, 0);
  t.like(s.rollout, { state: 'aborted', why: 'superseded by ro-2', by: 'operator:bob', failures: 0 });
});

test('superseded before it began, it ends at once; on its way back, it goes back first', (t) => {
  const fresh = new Script([node('a')], {});
  fresh.send(SUPERSEDE);
  t.like(fresh.rollout, { state: 'aborted', why: 'superseded by ro-2' });

  const s = new Script([node('a')], {});
  s.start();
  s.upgrade('a');
  s.send({ type: 'rollback', by: 'operator:ann', why: 'bad' });
  t.regex(s.send(SUPERSEDE).refusals[0]?.what ?? '', /rolling-back/);
  s.send({ type: 'pause', by: 'operator:ann', why: 'lunch' });
  t.is(s.send(SUPERSEDE).refusals.length, 1);
  t.is(s.rollout.state, 'paused');
});
