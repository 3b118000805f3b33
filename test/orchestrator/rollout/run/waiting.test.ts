/** Rollouts that wait for others, as records on a real Redis: no machine answers, and the looks are called one by one. */
import test from 'ava';
import { Fleet } from '../../../../orchestrator/fleet/fleet.ts';
import { withdraw, withdrawnWhy } from '../../../../orchestrator/releases/withdrawn.ts';
import { readChain } from '../../../../orchestrator/rollout/run/chain.ts';
import { ROLLOUT_KEYS } from '../../../../orchestrator/rollout/run/keys.ts';
import { listRollouts } from '../../../../orchestrator/rollout/run/list.ts';
import { createWaiting, operate } from '../../../../orchestrator/rollout/run/operate.ts';
import { partsOf } from '../../../../orchestrator/rollout/run/planned.ts';
import { readRollout, readSetup, readState } from '../../../../orchestrator/rollout/run/stored.ts';
import { startWaiting } from '../../../../orchestrator/rollout/run/waiting.ts';
import { HOLDERS } from '../../../../orchestrator/upkeep/holders.ts';
import { silent } from '../../fleet/support.ts';
import { BY, DOCUMENT, dyingAfter, told, worldFor } from './waiting-world.ts';

test('the next part is planned when its turn comes, and started once, however many look', async (t) => {
  const world = await worldFor(t);
  const { member, begin, end, look, of, redis } = world;
  await member(1);
  const [image, config] = await begin({ ...DOCUMENT, then: [{ config: '1' }] });
  t.like(await of(config!), { state: 'waiting', why: `waits until ${image} is done` });
  await look();
  t.is((await of(config!)).state, 'waiting');
  const late = await member(2);
  await end(image, 'done');
  await Promise.all([look(), look(), look(), look()]);
  await look();
  const state = await readState(redis, config!);
  t.is(state.rollout.state, 'running');
  t.is(state.nodes.size, 2, 'the fleet as it is then');
  t.true(state.nodes.has(late));
  t.like(state.setup, { author: BY.actor, target: { of: 'config', version: '1' } });
  t.deepEqual(await told(world, config!), ['waiting', 'planned', 'running']);
  t.deepEqual(new Set(await redis.hvals(HOLDERS)), new Set([config]));
  t.deepEqual(
    (await readChain(redis, config!)).map(({ id }) => id),
    [image, config],
  );
});

test('read while it starts, it is read as a whole', async (t) => {
  const { member, begin, end, look, redis } = await worldFor(t);
  await member(1);
  const [image, config] = await begin({ ...DOCUMENT, then: [{ config: '1' }] });
  await end(image, 'done');
  const slow = new Proxy(redis, {
    get(target, key) {
      const value = Reflect.get(target, key);
      if (typeof value !== 'function') return value;
      if (key !== 'hget') return value.bind(target);
      return async (...args: [string, string]) => {
        const read = await target.hget(...args);
        await look();
        return read;
      };
    },
  });
  const { setup, nodes, waves } = await readState(slow, config!);
  t.is(nodes.size, 1);
  t.is(waves.length, setup.waves.length);
});

test('killed after any of its commands to Redis: the next one goes on, and it is started once', async (t) => {
  const world = await worldFor(t);
  const { member, begin, end, look, of, redis, paths } = world;
  await member(1);
  const [image, config] = await begin({ ...DOCUMENT, then: [{ config: '1' }] });
  await end(image, 'done');
  let kills = 0;
  for (; (await of(config!)).state === 'waiting'; kills += 1) {
    const dying = dyingAfter(redis, kills);
    await startWaiting({ redis: dying, fleet: new Fleet(dying), paths, log: silent }).catch(() => {});
    t.is((await of(config!)).wait, undefined);
  }
  t.true(kills > 10, `${kills}`);
  await look();
  t.is((await of(config!)).state, 'running');
  t.deepEqual(await told(world, config!), ['waiting', 'planned', 'running']);
});

test('after what is not done it does not start by itself: a person starts or drops it', async (t) => {
  const world = await worldFor(t);
  const { member, begin, say, end, look, of } = world;
  await member(1);
  for (const state of ['partial', 'failed'] as const) {
    const [first, second, third] = await begin({ ...DOCUMENT, then: [{ config: '1' }, { config: '2' }] });
    await end(first, state);
    await look();
    await look();
    t.like(await of(second!), { state: 'waiting', wait: 'stalled' });
    t.regex((await of(second!)).why, new RegExp(`^${first} ended as ${state}: 'rollout resume' starts it`));
    t.deepEqual(await told(world, second!), ['waiting', 'waiting'], 'said once');
    if (state === 'partial') {
      await say(second!, { type: 'resume', by: 'operator:bob' });
      await look();
      t.is((await of(second!)).state, 'running');
      await say(second!, { type: 'abort', by: 'operator:bob', why: 'enough' });
      await end(second!, 'done');
    } else await say(second!, { type: 'abort', by: 'operator:bob', why: 'no' });
    await look();
    t.is((await of(third!)).state, state === 'partial' ? 'running' : 'aborted');
    if (state === 'partial') await end(third!, 'done');
  }
});

test('what is aborted or rolled back ends what waits for it, all along', async (t) => {
  const { member, begin, say, move, look, of, redis } = await worldFor(t);
  await member(1);
  const [first, ...later] = await begin({ ...DOCUMENT, then: [{ config: '1' }, { config: '2' }] });
  await move(first);
  await say(first, { type: 'abort', by: 'operator:bob', why: 'not today' });
  t.is((await of(first)).state, 'aborting', 'what it has begun with comes to its end');
  await look();
  t.is((await of(later[0]!)).state, 'waiting');
  const [node] = [...(await readState(redis, first)).nodes.keys()];
  await say(first, { type: 'rollback', by: 'operator:bob', why: 'not today' });
  await redis.hset(ROLLOUT_KEYS.rollout(first), {
    ...{ state: 'aborted', body: JSON.stringify({ ...(await of(first)), state: 'aborted', endedAt: 2 }) },
  });
  await look();
  await look();
  for (const [index, id] of later.entries()) {
    const before = index === 0 ? first : later[0];
    t.like(await of(id), { state: 'aborted', by: 'operator:bob', why: `${before} ended as aborted` });
  }
  t.is(await redis.hget(HOLDERS, node!), first, 'only its own');
});

test('a refused plan is the reason that is shown, and it can be started once that is mended', async (t) => {
  const { member, begin, say, end, look, of, redis } = await worldFor(t);
  const first = await member(1);
  const [image, config] = await begin({
    ...DOCUMENT,
    then: [{ config: '1', nodes: { labels: { ring: 'zero' } } }],
  });
  await end(image, 'done');
  await look();
  t.like(await of(config!), { state: 'waiting', wait: 'stalled' });
  const [listed] = (await listRollouts(redis)).filter(({ id }) => id === config);
  t.regex(listed?.why ?? '', /^it cannot start: nodes selects no node of the fleet; 'rollout resume'/);
  await look();
  await member(2);
  await redis.hdel(HOLDERS, first);
  await say(config!, { type: 'resume', by: 'operator:bob' });
  await look();
  t.like(await of(config!), { state: 'waiting', wait: 'stalled' }, 'looked at again, and refused again');
});

test('where everybody is on the version already, the turn is over at once', async (t) => {
  const { member, begin, end, look, of, redis } = await worldFor(t);
  await member(1, '2.0');
  await withdraw(redis, '2.0', 'taken back before', BY);
  const [config, image, next] = await begin({
    ...{ config: '1', nodes: { all: true }, waves: [{}] },
    ...{ then: [{ image: '2.0' }, { config: '2' }] },
  });
  await end(config, 'done');
  await look();
  t.like(await of(image!), { state: 'done', why: 'every node is on 2.0 already' });
  t.is(await withdrawnWhy(redis, '2.0'), 'taken back before', 'nothing was proved');
  await look();
  t.is((await of(next!)).state, 'running');
});

test('what can be refused at the start is refused then, and nothing starts', async (t) => {
  const { member, begin, redis } = await worldFor(t);
  await member(1);
  const refused = async (then: object, how = {}) =>
    (await t.throwsAsync(begin({ ...DOCUMENT, then: [{ config: '1' }, then] }, how)))?.message ?? '';
  t.regex(await refused({ image: '9.9' }), /then\[1\]\.image/);
  t.regex(await refused({ config: '9' }), /then\[1\]\.config configuration 9 is not published/);
  t.regex(await refused({ image: '3.0', nodes: { site: 'rome' } }), /then\[1\]\.nodes\.site rome/);
  t.regex(await refused({ image: '3.0' }, { after: 'ro-none' }), /there is no rollout/);
  t.deepEqual(await redis.smembers(ROLLOUT_KEYS.all), []);
  const [first] = await begin(DOCUMENT);
  const before = await redis.smembers(ROLLOUT_KEYS.all);
  for (const how of [{ after: first }, { supersede: first }]) {
    t.regex(await refused({ config: '9' }, how), /then\[1\]\.config/);
    const alone = await t.throwsAsync(begin({ image: '9.9', nodes: { all: true } }, how));
    t.regex(alone?.message ?? '', /version 9\.9 is not published/);
  }
  const gone = await t.throwsAsync(
    begin({ image: '3.0', nodes: { site: 'default', running: '9' } }, { supersede: first }),
  );
  t.regex(gone?.message ?? '', /selects no node/);
  const held = { ...DOCUMENT, image: '1.0' };
  t.like(await t.throwsAsync(begin(held, { supersede: first })), { code: 'ROLLOUT_EMPTY' });
  t.like(await t.throwsAsync(begin(DOCUMENT, { after: first, supersede: first })), { code: 'ROLLOUT_AFTER' });
  t.like(await t.throwsAsync(begin(DOCUMENT, { after: first, plan: 'abc' })), { code: 'ROLLOUT_AFTER' });
  t.deepEqual(await redis.smembers(ROLLOUT_KEYS.all), before);
  t.is((await readRollout(redis, first)).state, 'running', 'nothing ended for it');
});

test('one that takes the place of another gets all its nodes, and is on record before the other ends', async (t) => {
  const { member, begin, move, end, look, of, redis } = await worldFor(t);
  for (const n of [1, 2, 3]) await member(n);
  const [old, dependent] = await begin({ ...DOCUMENT, waves: [{ take: 1 }, {}], then: [{ config: '1' }] });
  await move(old);
  const [next] = await begin({ ...DOCUMENT, image: '3.0', waves: [{ take: 1 }, {}] }, { supersede: old });
  t.like(await of(old), { state: 'aborting', why: `superseded by ${next}` });
  await look();
  t.like(await of(next), { state: 'waiting', why: `waits until ${old} has ended, and takes its place` });
  await end(old, 'failed');
  await look();
  const state = await readState(redis, next);
  t.is(state.rollout.state, 'running');
  t.deepEqual(
    state.setup.waves.map(({ planned }) => planned),
    [1, 2, 0],
  );
  t.is((await of(dependent!)).state, 'waiting');
});

test('killed before the old one was asked to end: the next look asks it', async (t) => {
  const { member, begin, move, look, of, redis } = await worldFor(t);
  await member(1);
  const [old] = await begin(DOCUMENT);
  await move(old);
  const parts = partsOf(JSON.stringify({ ...DOCUMENT, image: '3.0' }));
  const next = await createWaiting(
    redis,
    parts,
    { rollout: old, how: 'supersede' },
    { author: 'operator:bob', at: Date.now() },
  );
  t.is((await of(old)).state, 'running');
  await look();
  t.like(await of(old), { state: 'aborting', by: 'operator:bob', why: `superseded by ${next}` });
});

test('one on its way back is not cut short; one that is paused there is named', async (t) => {
  const { member, begin, say, move, end, look, of } = await worldFor(t);
  await member(1);
  const [old] = await begin(DOCUMENT);
  await move(old);
  await say(old, { type: 'rollback', by: 'operator:ann', why: 'bad' });
  await say(old, { type: 'pause', by: 'operator:ann', why: 'lunch' });
  t.like(await t.throwsAsync(begin({ ...DOCUMENT, image: '3.0' }, { supersede: old })), {
    code: 'ROLLOUT_AFTER',
  });
  await say(old, { type: 'resume', by: 'operator:ann' });
  const [next] = await begin({ ...DOCUMENT, image: '3.0' }, { supersede: old });
  await look();
  t.is((await of(old)).state, 'rolling-back');
  t.is((await of(next)).state, 'waiting');
  await end(old, 'failed');
  await look();
  t.is((await of(next)).state, 'running');
});

test('who approves the document approves its later parts; nobody else starts them', async (t) => {
  const { member, end, look, of, redis } = await worldFor(t);
  await member(1);
  const approvals = { count: 1 };
  const ann = { author: 'operator:ann', person: ['ann'], at: Date.now() };
  const document = partsOf(JSON.stringify({ ...DOCUMENT, approvals, then: [{ config: '1' }] }));
  const [old] = [
    await createWaiting(
      redis,
      partsOf(JSON.stringify(DOCUMENT)),
      { rollout: 'ro-none', how: 'supersede' },
      ann,
    ),
  ];
  const first = await createWaiting(redis, document, { rollout: old, how: 'supersede' }, ann);
  const second = (await readChain(redis, first)).at(-1)!.id;
  await operate(redis, old, { type: 'abort', by: 'operator:ann', why: '' });
  await look();
  t.is((await of(first)).state, 'awaiting-approval');
  await look();
  t.is((await of(second)).state, 'waiting');
  const bob = { type: 'approve', by: 'operator:bob', person: ['bob'] } as const;
  await t.throwsAsync(operate(redis, second, bob), { message: /approves all of them/ });
  await operate(redis, first, bob);
  await end(first, 'done');
  await look();
  t.like(await of(second), { state: 'running', approvals: [{ by: 'operator:bob' }] });
  t.is((await readSetup(redis, second)).setup.spec.approvals.count, 1, 'its gates want others as well');
  await t.throwsAsync(
    createWaiting(redis, document, { rollout: first, how: 'after' }, { ...ann, person: undefined }),
    {
      code: 'ROLLOUT_CERTIFICATE',
    } as object,
  );
});

test('a record that somebody has written to does not stop the others', async (t) => {
  const { member, begin, end, look, of, redis } = await worldFor(t);
  await member(1);
  const [first, second] = await begin({ ...DOCUMENT, then: [{ config: '1' }] });
  await redis.sadd(ROLLOUT_KEYS.live, 'ro-0000');
  await redis.hset(ROLLOUT_KEYS.rollout('ro-0000'), { state: 'waiting', epoch: 'x', body: '{' });
  await end(first, 'done');
  await look();
  t.is((await of(second!)).state, 'running');
});
