/** What was tried with every right over Redis to have a rollout start that nobody, or not everybody, has approved. */
import test, { type ExecutionContext } from 'ava';
import { makePlan } from '../../../orchestrator/rollout/plan.ts';
import { planNodes } from '../../../orchestrator/rollout/run/facts.ts';
import { ROLLOUT_KEYS } from '../../../orchestrator/rollout/run/keys.ts';
import { create, operate } from '../../../orchestrator/rollout/run/operate.ts';
import { checkSpec } from '../../../orchestrator/rollout/spec.ts';
import { beatOfBoot, certificateFor, enrolment } from '../../orchestrator/fleet/support.ts';
import { FACTS, IMAGES, VERSIONS } from '../../orchestrator/rollout/run/support.ts';
import { by, rewrite, server } from './server.ts';

async function started(t: ExecutionContext, count: number) {
  const { redis, admit, directory, fleet } = await server(t);
  const one = enrolment(1, 1, { running: { version: '1.0', kernel: '6.1.0', bootId: 'boot-1-1' } });
  await admit(one);
  await directory.heartbeat(one.id, certificateFor(one).serial, beatOfBoot(one, { healthy: true }));
  const checked = checkSpec({ image: '2.0', nodes: { all: true }, waves: [{}], approvals: { count } });
  if (!checked.ok) throw new Error(JSON.stringify(checked.refusals));
  const made = makePlan(await planNodes(fleet, VERSIONS), checked.spec, Date.now(), FACTS);
  if (!made.ok) throw new Error(JSON.stringify(made.refusals));
  const author = { author: by.actor, person: ['ann'], at: by.at };
  const id = await create(redis, made.plan, IMAGES, { ...author, start: true });
  const approve = (name: string) =>
    operate(redis, id, { type: 'approve', by: `operator:${name}`, person: [name] });
  return { redis, id, approve, decided: () => fleet.decisions.rollouts.of(id) };
}

test('each approval is decided, and the last one opens it', async (t) => {
  const { approve, decided } = await started(t, 2);
  await approve('bob');
  t.like(decided(), {
    state: 'planned',
    opened: false,
    approvals: [{ by: 'operator:bob', person: ['bob'] }],
  });
  t.is((await approve('carl')).state, 'running');
  t.like(decided(), { state: 'open', opened: true });
});

test('forged: one of two approvals, or who gave it', async (t) => {
  const { redis, id, approve, decided } = await started(t, 2);
  const key = ROLLOUT_KEYS.rollout(id);
  const forge = (approvals: object[]) =>
    rewrite<{ rev: number }>(redis, key, (body) => ({ ...body, approvals, epoch: body.rev }));
  const saved = await redis.hgetall(key);
  await forge([{ by: 'operator:bob', at: 1, person: ['bob'] }]);
  await t.throwsAsync(approve('carl'), { code: 'RECORD_DISAGREES' });
  t.is(decided()?.opened, false);
  await redis.hset(key, saved);
  await approve('bob');
  await forge([{ by: 'operator:bob', at: 1, person: ['somebody else'] }]);
  await t.throwsAsync(approve('bob2'), { code: 'RECORD_DISAGREES' });
  t.is(decided()?.opened, false);
});

test('rewritten: what is shown to who approves it, and who wrote it', async (t) => {
  const { redis, id, approve, decided } = await started(t, 1);
  const key = ROLLOUT_KEYS.setup(id);
  const saved = await redis.hgetall(key);
  for (const [from, to] of [
    ['"operator:ann"', '"operator:zoe"'],
    ['["ann"]', '[]'],
    ['2.0', '1.5'],
  ] as const) {
    await redis.hset(key, 'body', saved.body!.replaceAll(from, to));
    await t.throwsAsync(approve('ann2'), { code: 'RECORD_DISAGREES' }, to);
    t.is(decided()?.opened, false);
  }
  await redis.hset(key, saved);
  t.is((await approve('bob')).state, 'running');
});
