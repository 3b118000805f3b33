/** An urgent rollout that goes before another one, as records on a real Redis. */
import test from 'ava';
import { Fleet } from '../../../../orchestrator/fleet/fleet.ts';
import { take } from '../../../../orchestrator/fleet/outcome.ts';
import { advance } from '../../../../orchestrator/rollout/engine.ts';
import type { EngineEvent } from '../../../../orchestrator/rollout/event.ts';
import { ROLLOUT_KEYS } from '../../../../orchestrator/rollout/run/keys.ts';
import { createWaiting } from '../../../../orchestrator/rollout/run/operate.ts';
import { partsOf } from '../../../../orchestrator/rollout/run/planned.ts';
import { readState, readWhole } from '../../../../orchestrator/rollout/run/stored.ts';
import { Taken } from '../../../../orchestrator/rollout/run/taken.ts';
import { startWaiting } from '../../../../orchestrator/rollout/run/waiting.ts';
import { writeStep } from '../../../../orchestrator/rollout/run/write.ts';
import { proceedOf } from '../../../../orchestrator/rollout/run/yields.ts';
import { HOLDERS } from '../../../../orchestrator/upkeep/holders.ts';
import { silent } from '../../fleet/support.ts';
import { BY, DOCUMENT, dyingAfter, failingAt, told, worldFor } from './waiting-world.ts';

const WAVES = { waves: [{ take: 1 }, {}] };
const URGENT = { ...DOCUMENT, image: '3.0', waves: [{}] };

type World = Awaited<ReturnType<typeof worldFor>>;

/** One that runs, over four nodes, and a step of its engine. */
async function running(world: World, spec: object = {}) {
  for (const n of [1, 2, 3, 4]) await world.member(n);
  const [old] = await world.begin({ ...DOCUMENT, ...WAVES, ...spec });
  const step = async (...events: EngineEvent[]) => {
    const { state, images } = await readWhole(world.redis, old);
    return writeStep(
      world.redis,
      state,
      advance(state, { at: Date.now(), elapsed: 0, events }),
      images,
      Date.now(),
    );
  };
  const go = async () => step(...(await proceedOf(world.fleet, await readState(world.redis, old))));
  return { old, step, go };
}

const run = (world: World, id: string, image: string) =>
  world.fleet.nodes.update(id, (record) => ({
    outcome: take(record!, {
      ...{ to: record!.state, at: BY.at, actor: 'test', action: 'test', reason: 'test' },
      set: { observed: { ...record!.observed, image } },
    }),
  }));

test('the older one stands still and holds nobody; the urgent one has all nodes; then the older one has those that are left', async (t) => {
  const world = await worldFor(t);
  const { begin, end, look, of, redis } = world;
  const { old, step, go } = await running(world);
  const [urgent] = await begin(URGENT, { preempt: old });
  t.like(await of(old), { state: 'paused', by: BY.actor, yields: { to: urgent, rests: true } });
  t.deepEqual(await redis.hgetall(HOLDERS), {}, 'nobody had begun');
  await look();
  const state = await readState(redis, urgent);
  t.is(state.rollout.state, 'running', state.rollout.why);
  t.is(state.nodes.size, 4);
  t.deepEqual(new Set(await redis.hvals(HOLDERS)), new Set([urgent]));
  t.deepEqual(await told(world, urgent), ['waiting', 'planned', 'running']);

  await go();
  t.is((await of(old)).state, 'paused', 'the urgent one has not ended');
  // Not the canary: without it nobody has proved the version.
  const later = [...(await readState(redis, old)).nodes.values()].filter(({ wave }) => wave === 1);
  const [newer, held] = later.map(({ node }) => node) as [string, string];
  await run(world, newer, '3.0');
  await end(urgent, 'partial');
  await redis.hset(HOLDERS, held, 'ro-other');
  t.is((await go()).result, 'done');
  const after = await readState(redis, old);
  t.like(after.rollout, { state: 'running', why: `${urgent} has ended`, failures: 0 });
  t.like(after.nodes.get(newer), { state: 'skipped', taken: true, why: `${urgent} has it` });
  t.like(after.nodes.get(held), { state: 'skipped', taken: true, why: 'ro-other has it' });
  const mine = Object.entries(await redis.hgetall(HOLDERS)).filter(([, id]) => id === old);
  t.is(mine.length, 2);
  t.is((await step({ type: 'tick' })).result, 'done');
});

test('a node that is taken while it goes on is left out, and the others go on', async (t) => {
  const world = await worldFor(t);
  const { begin, end, look, redis } = world;
  const { old, step } = await running(world);
  const [urgent] = await begin(URGENT, { preempt: old });
  await look();
  await end(urgent, 'done');
  const proceed = await proceedOf(world.fleet, await readState(redis, old));
  const [late] = [...(await readState(redis, old)).nodes.keys()] as [string];
  await redis.hset(HOLDERS, late, 'ro-other');
  t.like(await step(...proceed), { result: 'taken', node: late, owner: 'ro-other' });
  t.is((await step({ type: 'taken', node: late, by: 'ro-other' }, ...proceed)).result, 'done');
  t.like((await readState(redis, old)).nodes.get(late), { state: 'skipped', taken: true });
});

test('whom the urgent one has brought a configuration is not forgotten because Redis fails', async (t) => {
  const world = await worldFor(t);
  const { begin, end, look, redis } = world;
  const { old } = await running(world, { image: undefined, config: '1' });
  const [urgent] = await begin({ ...URGENT, image: undefined, config: '2' }, { preempt: old });
  await look();
  const { nodes } = await readState(redis, urgent);
  const [brought] = [...nodes.keys()] as [string];
  const key = ROLLOUT_KEYS.node(urgent, brought);
  await redis.hset(key, 'body', JSON.stringify({ ...nodes.get(brought), state: 'done' }));
  await end(urgent, 'partial');
  const state = await readState(redis, old);
  const whole = await proceedOf(world.fleet, state);
  t.like(whole, [{ type: 'proceed', taken: [{ node: brought, by: urgent }] }]);
  let failed = 0;
  for (let command = 0; ; command += 1) {
    const fleet = { ...world.fleet, redis: failingAt(redis, command) } as Fleet;
    const said = await proceedOf(fleet, state).catch(() => null);
    if (said === null) failed += 1;
    else {
      t.deepEqual(said, whole, `command ${command} failed`);
      break;
    }
  }
  t.true(failed > 1);
  await redis.del(ROLLOUT_KEYS.rollout(urgent), ROLLOUT_KEYS.setup(urgent));
  t.like(
    await proceedOf(world.fleet, state),
    [{ type: 'proceed', taken: [] }],
    'only who is forgotten is given up',
  );
});

test('whom the urgent one brings other services is not taken from the older one, waiting or done', async (t) => {
  const world = await worldFor(t);
  const { begin, end, look, redis } = world;
  const { old } = await running(world);
  const [urgent] = await begin(URGENT, { preempt: old });
  await look();
  const moves = async (id: string, version: string) => {
    const key = ROLLOUT_KEYS.setup(id);
    const stored = JSON.parse((await redis.hget(key, 'body'))!);
    stored.setup.target = { of: 'service', version };
    await redis.hset(key, 'body', JSON.stringify(stored));
  };
  await moves(old, 'fleet/chrony:4.4,fleet/nginx:1');
  const { nodes } = await readState(redis, urgent);
  const [brought, done] = [...nodes.keys()] as [string, string];
  const step = { ...nodes.get(brought), state: 'done' };
  await redis.hset(ROLLOUT_KEYS.node(urgent, brought), 'body', JSON.stringify(step));
  const taken = async () => {
    const state = await readState(redis, old);
    state.nodes.get(done)!.state = 'done';
    const found = await new Taken(world.fleet).look(state, new Set([brought, done]));
    return found.map((event) => ('node' in event ? event.node : ''));
  };
  await moves(urgent, 'fleet/chrony:4.5');
  t.deepEqual(await taken(), [done], 'of who waits that is asked when the urgent one has ended');
  await moves(urgent, 'fleet/unbound:1');
  t.deepEqual(await taken(), []);
  await end(urgent, 'partial');
  const proceeds = async () => proceedOf(world.fleet, await readState(redis, old));
  t.like(await proceeds(), [{ type: 'proceed', taken: [] }]);
  await moves(urgent, 'fleet/chrony:none,fleet/unbound:1');
  t.like(await proceeds(), [{ type: 'proceed', taken: [{ node: brought, by: urgent }] }]);
});

test('killed after any of its commands to Redis: the older one stands still, and the urgent one is started once', async (t) => {
  const world = await worldFor(t);
  const { look, of, redis, paths } = world;
  const { old } = await running(world);
  // Killed before the other one was asked.
  const urgent = await createWaiting(
    redis,
    partsOf(JSON.stringify(URGENT)),
    { rollout: old, how: 'preempt' },
    { author: 'operator:bob', at: Date.now() },
  );
  t.is((await of(old)).state, 'running');
  let kills = 0;
  for (; (await of(urgent)).state === 'waiting' && kills < 500; kills += 1) {
    const dying = dyingAfter(redis, kills);
    await startWaiting({ redis: dying, fleet: new Fleet(dying), paths, log: silent }).catch(() => {});
  }
  t.true(kills > 10, `${kills}`);
  await look();
  t.is((await of(urgent)).state, 'running');
  t.deepEqual(await told(world, urgent), ['waiting', 'planned', 'running']);
  t.is((await told(world, old)).filter((to) => to === 'paused').length, 1);
  t.like(await of(old), { state: 'paused', by: 'operator:bob', yields: { to: urgent } });
});

test('it waits until what has begun is at its end, and for approvals before anybody stands still', async (t) => {
  const world = await worldFor(t);
  const { say, look, of, redis } = world;
  const { old, step } = await running(world);
  await step({ type: 'tick' });
  t.is((await of(old)).inFlight.whole, 1);
  const parts = partsOf(JSON.stringify({ ...URGENT, approvals: { count: 1 } }));
  const ann = { author: 'operator:ann', person: ['ann'], at: Date.now() };
  const urgent = await createWaiting(redis, parts, { rollout: old, how: 'preempt' }, ann);
  await look();
  t.is((await of(old)).state, 'running', 'nobody has approved it');
  await say(urgent, { type: 'approve', by: 'operator:bob', person: ['bob'] });
  await look();
  t.like(await of(old), { state: 'paused', yields: { to: urgent, rests: false } });
  await look();
  t.is((await of(urgent)).state, 'waiting', 'one is on its way still');
  const [busy] = Object.keys(await redis.hgetall(HOLDERS)) as [string];
  t.is(await redis.hlen(HOLDERS), 1);
  await step({ type: 'removed', node: busy, why: 'retired' }, { type: 'tick' });
  await look();
  t.is((await of(urgent)).state, 'running');
});

test('what cannot go first is refused, and nobody stands still; an aborted one lets the other go on', async (t) => {
  const world = await worldFor(t);
  const { begin, say, look, of, redis } = world;
  const { old, go } = await running(world, { then: [{ config: '1' }] });
  const refused = async (spec: object, how: object) => (await t.throwsAsync(begin(spec, how)))?.message ?? '';
  t.regex(await refused({ ...URGENT, then: [{ config: '2' }] }, { preempt: old }), /leave 'then' out|2/);
  t.regex(await refused({ ...URGENT, image: '9.9' }, { preempt: old }), /not published/);
  t.regex(await refused(URGENT, { preempt: 'ro-none' }), /there is no rollout/);
  t.like(await t.throwsAsync(begin(URGENT, { preempt: old, after: old })), { code: 'ROLLOUT_AFTER' });
  t.like(await t.throwsAsync(begin(URGENT, { preempt: old, plan: 'abc' })), { code: 'ROLLOUT_AFTER' });
  t.is((await of(old)).state, 'running');
  const [urgent] = await begin(URGENT, { preempt: old });
  t.regex(await refused(URGENT, { preempt: old }), new RegExp(`stands still for ${urgent}`));
  t.regex(await refused(URGENT, { preempt: urgent }), /is waiting/);
  await say(urgent, { type: 'abort', by: 'operator:bob', why: 'false alarm' });
  await go();
  t.is((await of(old)).state, 'running');
  t.is(await redis.hlen(HOLDERS), 4);
  await say(old, { type: 'abort', by: 'operator:bob', why: 'enough' });
  await look();
  t.regex(await refused(URGENT, { preempt: old }), /ended as aborted|is aborting/);
});
