/** A diskless node that died of its new image: the boot server gives it the last good one, with no order to anybody. */
import test from 'ava';
import { take } from '../../../../orchestrator/fleet/outcome.ts';
import type { RolloutState } from '../../../../orchestrator/rollout/engine.ts';
import type { NodeStep } from '../../../../orchestrator/rollout/node-step.ts';
import { ROLLOUT_KEYS } from '../../../../orchestrator/rollout/run/keys.ts';
import { backAtNextBoot } from '../../../../orchestrator/rollout/run/next-boot.ts';
import { markUpdating } from '../../../../orchestrator/rollout/run/updating.ts';
import { membersFor } from './members.ts';

const LOST = {
  ...{ how: 'network', state: 'failed', reachable: false, taken: false, lastGood: '1.0', touch: 1 },
} as const;

test('it gets the last good image once, and only while its rollout goes back', async (t) => {
  const { fleet, redis, member, start, stateOf } = await membersFor(t);
  const node = await member(1);
  const id = await start({});
  const key = ROLLOUT_KEYS.node(id, node);
  const wanted = async () => (await fleet.nodes.get(node))?.wanted.image;
  const epoch = 7;
  const look = async (more: Partial<NodeStep> = {}, of: 'image' | 'config' = 'image', state = 'running') => {
    const step = { node, epoch, ...LOST, ...more };
    await redis.hset(key, { state: step.state, epoch });
    await backAtNextBoot(fleet, {
      setup: { id, target: { of } },
      rollout: { state },
      nodes: new Map([[node, step]]),
    } as unknown as RolloutState);
  };
  await redis.hset(key, { state: 'activating', epoch });
  const fence = { state: 'activating', epoch } as const;
  await markUpdating(fleet, node, { rollout: id, image: '2.0', at: 5, while: fence });
  const others: Partial<NodeStep>[] = [
    { state: 'activating' },
    { state: 'baking' },
    { how: 'disk' },
    { reachable: true },
    { taken: true },
    { lastGood: null },
  ];
  for (const other of others) {
    await look(other);
    t.is(await wanted(), '2.0', JSON.stringify(other));
  }
  await look({}, 'config');
  t.is(await wanted(), '2.0');
  await look();
  t.is(await wanted(), '1.0');
  const step = { to: 'unreachable', at: 9, actor: 'test', action: 'test', reason: '' } as const;
  await fleet.nodes.update(node, (record) => ({ outcome: take(record!, step) }));
  await look();
  t.is(await stateOf(node), 'unreachable');
  // When everything goes back, so does a node that died after it was done, and one that nobody waits for any more.
  const forth = async () => {
    await redis.hset(key, { state: 'activating', epoch });
    await markUpdating(fleet, node, { rollout: id, image: '2.0', at: 10, while: fence, stays: true });
    t.is(await wanted(), '2.0');
  };
  for (const state of ['activating', 'booted', 'baking', 'done', 'needs-recovery'] as const) {
    await forth();
    await look({ state }, 'image', 'rolling-back');
    t.is(await wanted(), '1.0', state);
    t.is(await stateOf(node), 'unreachable', 'it is about its next boot, and hides nothing');
  }
  await forth();
  for (const other of [{ state: 'done', touch: 0 }, { state: 'skipped' }, { state: 'rolled-back' }] as const)
    await look(other, 'image', 'rolling-back');
  t.is(await wanted(), '2.0');
});

test('a wish that is out of date by the time it is written is not written', async (t) => {
  const { fleet, redis, member, start } = await membersFor(t);
  const node = await member(1);
  const id = await start({});
  await redis.hset(ROLLOUT_KEYS.node(id, node), { state: 'failed', epoch: 8 });
  await backAtNextBoot(fleet, {
    setup: { id, target: { of: 'image' } },
    rollout: { state: 'running' },
    nodes: new Map([[node, { node, epoch: 7, ...LOST, lastGood: '0.9' }]]),
  } as unknown as RolloutState);
  t.not((await fleet.nodes.get(node))?.wanted.image, '0.9');
});
