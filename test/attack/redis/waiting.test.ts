/** What was tried with every right over Redis to have a rollout start that waits for another one, or one that nobody wrote. */
import test, { type ExecutionContext } from 'ava';
import type { Redis } from 'ioredis';
import { createLogger } from '../../../base/log.ts';
import { publishManifests } from '../../../lab/sim/images.ts';
import { rolloutKey } from '../../../orchestrator/fleet/decisions/rollouts.ts';
import { makePlan } from '../../../orchestrator/rollout/plan.ts';
import { planNodes } from '../../../orchestrator/rollout/run/facts.ts';
import { ROLLOUT_KEYS } from '../../../orchestrator/rollout/run/keys.ts';
import { create, createWaiting, operate } from '../../../orchestrator/rollout/run/operate.ts';
import { partsOf } from '../../../orchestrator/rollout/run/planned.ts';
import { readRollout } from '../../../orchestrator/rollout/run/stored.ts';
import { startWaiting } from '../../../orchestrator/rollout/run/waiting.ts';
import { HOLDERS } from '../../../orchestrator/upkeep/holders.ts';
import { beatOfBoot, certificateFor, enrolment } from '../../orchestrator/fleet/support.ts';
import { FACTS, IMAGES, VERSIONS } from '../../orchestrator/rollout/run/support.ts';
import { by, rewrite, server } from './server.ts';

const ANN = { author: by.actor, person: ['ann'], at: by.at };
const SPEC = { image: '2.0', nodes: { all: true }, waves: [{}] };

/** Changes its record, and all that Redis says of it is in order. */
const forge = (redis: Redis, id: string, change: object) =>
  rewrite<{ rev: number }>(redis, ROLLOUT_KEYS.rollout(id), (body) => ({
    ...{ ...body, ...change },
    epoch: body.rev,
  }));

/** A rollout of a person that runs, and what a server does about those that wait for it. */
async function fleet(t: ExecutionContext) {
  const world = await server(t);
  const { redis, paths, admit, directory, written, fleet: own } = world;
  await publishManifests(paths.images, ['1.0', '2.0', '3.0']);
  const one = enrolment(1, 1, { running: { version: '1.0', kernel: '6.1.0', bootId: 'boot-1-1' } });
  await admit(one);
  await directory.heartbeat(one.id, certificateFor(one).serial, beatOfBoot(one, { healthy: true }));
  const begin = async (spec: object, ...then: object[]) => {
    const [part, ...later] = partsOf(
      JSON.stringify({ ...SPEC, ...spec, ...(then.length > 0 ? { then } : {}) }),
    );
    const made = makePlan(await planNodes(own, VERSIONS), part.spec, Date.now(), FACTS);
    if (!made.ok) throw new Error(JSON.stringify(made.refusals));
    return create(redis, made.plan, IMAGES, { ...ANN, start: true, later });
  };
  const wait = (after: string, spec: object = {}) =>
    createWaiting(
      redis,
      partsOf(JSON.stringify({ ...SPEC, image: '3.0', ...spec })),
      { rollout: after, how: 'after' },
      ANN,
    );
  const log = createLogger('test', 'info', { write: (line: string) => void written.push(line) } as never);
  const look = () => startWaiting({ redis, fleet: own, paths, log });
  /** It is done, and that is decided; or only Redis says so. */
  const end = async (id: string, isForged = false) => {
    const known = own.decisions.rollouts.of(id)!;
    const over = own.decisions.rollout(id, { ...known, state: 'ended', end: 'done' }, by, 'test');
    if (!isForged) await own.decisions.commit({ records: [] }, [over]);
    await forge(redis, id, { state: 'done', endedAt: 2 });
    await redis.srem(ROLLOUT_KEYS.live, id);
    await redis.del(HOLDERS);
  };
  const state = async (id: string) => (await readRollout(redis, id)).state;
  const decided = (id: string) => own.decisions.rollouts.of(id);
  return { ...world, begin, wait, look, end, state, decided };
}

test('as it was decided it starts when its turn has come', async (t) => {
  const { begin, wait, look, end, state, decided } = await fleet(t);
  const first = await begin({});
  const id = await wait(first);
  t.like(decided(id), { state: 'ready', opened: false });
  await look();
  t.is(await state(id), 'waiting');
  await end(first);
  await look();
  t.is(await state(id), 'running');
  t.like(decided(id), { state: 'open', opened: true, on: ['3.0'], from: ['1.0'] });
});

test('forged: the end of the one before', async (t) => {
  const { redis, begin, wait, look, end, state } = await fleet(t);
  const first = await begin({});
  const id = await wait(first);
  await end(first, true);
  await look();
  t.is(await state(id), 'waiting');
  await forge(redis, id, { wait: 'go' });
  await look();
  t.is(await state(id), 'waiting', 'nor the word of a person that it starts all the same');
});

test('lost: its start, with the last second of a Redis that failed', async (t) => {
  const { redis, begin, wait, look, end, state, decided } = await fleet(t);
  const first = await begin({});
  const id = await wait(first);
  const keys = [ROLLOUT_KEYS.setup(id), ROLLOUT_KEYS.rollout(id)];
  const saved = await Promise.all(keys.map((key) => redis.hgetall(key)));
  await end(first);
  await look();
  t.is(await state(id), 'running');
  for (const [i, key] of keys.entries()) {
    await redis.del(key);
    await redis.hset(key, saved[i]!);
  }
  for (const key of await redis.keys(`${ROLLOUT_KEYS.rollout(id)}:*`))
    if (!keys.includes(key)) await redis.del(key);
  await redis.del(HOLDERS);
  await look();
  t.is(await state(id), 'running', 'it waited again, and has started again');
  t.like(decided(id), { state: 'open' });
});

test('forged: a rollout that waits', async (t) => {
  const { redis, begin, wait, look, end, state, decided, written } = await fleet(t);
  const first = await begin({});
  const real = await wait(first);
  const forged = 'ro-00000bad';
  for (const keyOf of [ROLLOUT_KEYS.rollout, ROLLOUT_KEYS.setup]) {
    const fields = await redis.hgetall(keyOf(real));
    await redis.hset(keyOf(forged), { ...fields, body: fields.body!.replaceAll(real, forged) });
  }
  await redis.sadd(ROLLOUT_KEYS.live, forged);
  await operate(redis, real, { type: 'abort', by: by.actor, why: 'test' });
  await end(first);
  await look();
  t.is(await state(forged), 'waiting');
  t.is(decided(forged), undefined);
  t.regex(written.join(''), /nobody has started it/);
});

test('rewritten: what a rollout that waits will do, and for what it waits', async (t) => {
  const { redis, begin, wait, look, end, state } = await fleet(t);
  const first = await begin({});
  const id = await wait(first);
  const key = ROLLOUT_KEYS.setup(id);
  const saved = await redis.hgetall(key);
  await end(first);
  for (const [from, to] of [
    ['3.0', '2.0'],
    [first, 'ro-00000000'],
  ] as const) {
    await redis.hset(key, 'body', saved.body!.replaceAll(from, to));
    await look();
    t.is(await state(id), 'waiting', to);
  }
  await redis.hset(key, saved);
  await look();
  t.is(await state(id), 'running');
});

test('forged: the approval of a rollout that waits', async (t) => {
  const { redis, begin, wait, look, end, state, decided } = await fleet(t);
  const first = await begin({});
  const forged = await wait(first, { approvals: { count: 1 } });
  t.is(decided(forged)?.state, 'waiting');
  await forge(redis, forged, { approvals: [{ by: 'operator:bob', at: 1, person: ['bob'] }] });
  await end(first);
  await look();
  t.is(await state(forged), 'awaiting-approval');
  t.false(decided(forged)!.opened);
});

test('an approval that was given while it waited counts when its turn has come', async (t) => {
  const { redis, begin, wait, look, end, state, decided } = await fleet(t);
  const first = await begin({});
  const id = await wait(first, { approvals: { count: 1 } });
  await operate(redis, id, { type: 'approve', by: 'operator:bob', person: ['bob'] });
  t.is(decided(id)?.state, 'ready');
  await end(first);
  await look();
  t.is(await state(id), 'running');
});

test('forged: that the first part of a document was approved, and is done', async (t) => {
  const { redis, begin, look, end, state, decided } = await fleet(t);
  const first = await begin({ approvals: { count: 1 } }, { image: '3.0' });
  const [id] = (await redis.smembers(ROLLOUT_KEYS.live)).filter((one) => one !== first) as [string];
  await forge(redis, first, { approvals: [{ by: 'operator:bob', at: 1, person: ['bob'] }] });
  await end(first);
  await look();
  t.is(await state(id), 'awaiting-approval');
  t.deepEqual((await readRollout(redis, id)).approvals, []);
  t.false(decided(id)!.opened);
});

test('removed: what was decided about it', async (t) => {
  const { redis, begin, wait, look, end, state, bans } = await fleet(t);
  const first = await begin({});
  const id = await wait(first);
  for (const key of await redis.keys('*')) if (key.includes(rolloutKey(id))) await redis.del(key);
  await bans.look();
  await end(first);
  await look();
  t.is(await state(id), 'running', 'every server has it on its disk');
});
