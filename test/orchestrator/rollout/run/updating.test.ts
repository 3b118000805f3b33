/** The fleet's state `updating`: from the order that disrupts a node until its rollout is done with it. */
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import type { Fleet } from '../../../../orchestrator/fleet/fleet.ts';
import { take } from '../../../../orchestrator/fleet/outcome.ts';
import type { StepState } from '../../../../orchestrator/rollout/node-step.ts';
import { planNodes } from '../../../../orchestrator/rollout/run/facts.ts';
import { ROLLOUT_KEYS } from '../../../../orchestrator/rollout/run/keys.ts';
import { markUpdating, settleUpdating } from '../../../../orchestrator/rollout/run/updating.ts';
import { HOLDERS } from '../../../../orchestrator/upkeep/holders.ts';
import { membersFor } from './members.ts';
import { benchFor, hasEnded } from './support.ts';

/** As an order of this moment does. */
async function mark(fleet: Fleet, node: string, rollout: string, image: string | null = '2.0') {
  const [state, epoch] = await fleet.redis.hmget(ROLLOUT_KEYS.node(rollout, node), 'state', 'epoch');
  const fence = { state: state as StepState, epoch: Number(epoch) };
  await markUpdating(fleet, node, { rollout, image, at: 5, while: fence });
}

test('under way it stays so whatever its agent says; let go, it is what its last heartbeat said', async (t) => {
  const { fleet, redis, member, beat, start, stateOf } = await membersFor(t);
  const ids = [await member(1), await member(2), await member(3)] as const;
  const [well, ill, silent] = ids;
  const id = await start({ limits: { whole: 9, site: '100%', rack: 9 } });
  for (const node of ids) await mark(fleet, node, id);
  await beat(2, false);
  await beat(3, null, '2.0', 2);
  t.deepEqual(await settleUpdating(fleet, 6), []);
  for (const node of ids) t.is(await stateOf(node), 'updating');
  t.is((await fleet.nodes.get(well))?.wanted.image, '2.0');

  // The rollout let go of them, and whoever wanted to say so was killed.
  await redis.del(HOLDERS);
  const plan = await planNodes(fleet, []);
  t.deepEqual(
    plan.map(({ id, state }) => [id, state]),
    [
      [well, 'healthy'],
      [ill, 'degraded'],
      [silent, 'enrolled'],
    ],
    'a plan made at this moment takes nobody for busy',
  );
  t.deepEqual((await settleUpdating(fleet, 7)).sort(), [...ids].sort());
  t.deepEqual(await Promise.all(ids.map(stateOf)), ['healthy', 'degraded', 'enrolled']);
  t.deepEqual(await settleUpdating(fleet, 8), []);
});

test('a node that its rollout is done with is let go before the rollout ends', async (t) => {
  const { fleet, redis, member, start, stateOf } = await membersFor(t);
  const node = await member(1);
  const id = await start({});
  await mark(fleet, node, id);
  t.deepEqual(await settleUpdating(fleet, 6), []);
  await redis.hset(ROLLOUT_KEYS.node(id, node), 'state', 'done');
  t.deepEqual(await settleUpdating(fleet, 6), [node]);
  t.is(await stateOf(node), 'healthy');
});

test('what is being installed or has left is not renamed', async (t) => {
  const { fleet, member, start, stateOf, by } = await membersFor(t);
  const node = await member(1);
  const id = await start({});
  await fleet.nodes.update(node, (record) => ({
    outcome: take(record!, { to: 'installing', at: 2, actor: 'test', action: 'test', reason: '' }),
  }));
  await mark(fleet, node, id);
  t.is(await stateOf(node), 'installing');
  await fleet.retire(node, 'sold', by());
  await mark(fleet, node, id, null);
  t.is(await stateOf(node), 'retired');
});

test('an orchestrator that was stopped and wakes up wants nothing that nobody wants any more', async (t) => {
  const { fleet, redis, member, start } = await membersFor(t);
  const node = await member(1);
  const id = await start({});
  const key = ROLLOUT_KEYS.node(id, node);
  const [state, epoch] = await redis.hmget(key, 'state', 'epoch');
  const fence = { state: state as StepState, epoch: Number(epoch) };
  // It was taken back meanwhile.
  await redis.hset(key, { state: 'rolling-back', epoch: fence.epoch + 1 });
  const before = await fleet.nodes.get(node);
  await markUpdating(fleet, node, { rollout: id, image: '2.0', at: 5, while: fence });
  t.deepEqual(await fleet.nodes.get(node), before);
  // Also when that happens between the look and the write.
  await redis.hset(key, { state: fence.state, epoch: fence.epoch });
  const look = redis.hmget.bind(redis) as (...args: unknown[]) => Promise<(string | null)[]>;
  redis.hmget = (async (...args: unknown[]) => {
    const found = await look(...args);
    if (args[0] === key) await redis.hset(key, { state: 'rolling-back', epoch: fence.epoch + 1 });
    return found;
  }) as never;
  await markUpdating(fleet, node, { rollout: id, image: '2.0', at: 5, while: fence });
  t.deepEqual(await fleet.nodes.get(node), before);
  redis.hmget = look as never;
  await redis.hset(key, { state: fence.state, epoch: fence.epoch });
  await markUpdating(fleet, node, { rollout: id, image: '2.0', at: 5, while: fence });
  t.is((await fleet.nodes.get(node))?.wanted.image, '2.0');
});

test.serial(
  'on the wire: updating while it restarts and bakes, and nobody is left so by a change of orchestrators',
  async (t) => {
    const bench = await benchFor(t, { count: 6 });
    const { fleet } = bench;
    const first = bench.orchestrator();
    const id = await bench.start({ waves: [{ name: 'canary', take: 1 }, { take: 'rest' }] });
    await bench.until(id, ({ waves }) => (waves[1]?.counts.baking ?? 0) > 0);
    t.true((await fleet.nodes.count('updating')) > 0);
    await first.stop();
    bench.orchestrator();
    const end = await bench.until(id, hasEnded);
    t.is(end.rollout.state, 'done', end.rollout.why);
    while ((await fleet.nodes.count('updating')) > 0) await sleep(50);
    t.is(await fleet.nodes.count('healthy'), 6);
    const audit = (await fleet.audit.read()).filter(
      ({ actor, to }) => actor === 'rollout' && to === 'updating',
    );
    t.deepEqual(
      [...new Set(audit.map(({ from, node }) => `${from} ${node}`))].length,
      6,
      'each became so once',
    );
  },
);
