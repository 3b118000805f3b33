/** A service is frozen by a person, and its nodes are, over the real wire. */
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { refusal } from '../../../base/error.ts';
import * as acts from '../../../orchestrator/operations/restraint/acts.ts';
import { startRestraintKeeper } from '../../../orchestrator/restraints/keep.ts';
import { HOLDERS } from '../../../orchestrator/upkeep/holders.ts';
import { slowJournal } from '../../support/slow-journal.ts';
import { until } from '../../support/until.ts';
import { orderOf } from '../signer/orders.ts';
import { by, house, NAME } from './house.ts';

/** As people read it. */
const SHOWN = 'shop';
const housed = (t: ExecutionContext, count: number) => house(t, count, startRestraintKeeper);

test('frozen everywhere, throttled on one node, let go: each within moments, said by the nodes, and in the history', async (t) => {
  const { acting, shown, nodes, fleet } = await housed(t, 3);
  const [one] = nodes.map(({ id }) => id);
  const names = (await fleet.nodes.getMany(nodes.map(({ id }) => id))).map(({ name }) => name);
  const ask = { service: NAME, nodes: [], reason: 'it scans' };
  const frozen = await acts.freeze(ask, acting);
  t.deepEqual(frozen, { service: SHOWN, changed: true, done: names.toSorted(), waiting: [] });
  t.deepEqual(shown(), ['freeze', 'freeze', 'freeze']);
  t.false((await acts.freeze(ask, acting)).changed);
  t.like((await acts.list({}, acting))[0], {
    service: SHOWN,
    node: null,
    how: 'freeze',
    reason: 'it scans',
    by: by.actor,
  });
  await t.throwsAsync(acts.resume({ ...ask, nodes: [one!] }, acting), {
    code: 'SERVICE_RESTRAINED_EVERYWHERE',
  });
  await acts.resume(ask, acting);
  t.deepEqual(shown(), [undefined, undefined, undefined]);
  await acts.throttle({ ...ask, nodes: [one!], rate: 5000 }, acting);
  t.deepEqual(shown(), ['throttle', undefined, undefined]);
  await acts.resume({ ...ask, nodes: [one!] }, acting);
  t.deepEqual(shown(), [undefined, undefined, undefined]);
  t.deepEqual(await acts.list({}, acting), []);
  const said = (await fleet.audit.read()).flatMap(({ action, reason }) =>
    action.startsWith('service-') ? [`${action} ${reason}`] : [],
  );
  t.deepEqual(said, [
    `service-freeze ${NAME}: it scans`,
    `service-resume ${NAME}: it scans`,
    `service-throttle ${NAME}: it scans`,
    `service-resume ${NAME}: it scans`,
  ]);
});

test.serial('a slow disk, from which the signer reads what was decided, keeps no node frozen', async (t) => {
  const { acting, shown } = await housed(t, 3);
  const ask = { service: NAME, nodes: [], reason: 'it scans' };
  await acts.freeze(ask, acting);
  t.deepEqual(shown(), ['freeze', 'freeze', 'freeze']);
  slowJournal(t);
  await acts.resume(ask, acting);
  t.deepEqual(shown(), [undefined, undefined, undefined]);
});

test('who is away, or in the hands of a rollout, is frozen as well: when it is heard, and at once', async (t) => {
  const { acting, shown, nodes, redis } = await housed(t, 2);
  const [away, held] = nodes as [(typeof nodes)[0], (typeof nodes)[0]];
  await redis.hset(HOLDERS, held.id, 'ro-2');
  away.vanish();
  const done = await acts.freeze({ service: NAME, nodes: [away.id, held.id], reason: 'x' }, acting);
  t.is(done.waiting.length, 1);
  t.is(shown()[1], 'freeze');
  await away.boot('1.0');
  await until(() => shown()[0] === 'freeze');
});

test('a node that fails at first is asked again, and no other is named twice for that', async (t) => {
  const { acting, nodes, fleet, pool } = await housed(t, 2);
  const ids = nodes.map(({ id }) => id);
  let failed = false;
  const request: typeof pool.request = async (id, ...rest) => {
    if (id === ids[1]) await sleep(2000);
    else if (!failed) {
      failed = true;
      throw new Error('away');
    }
    return pool.request(id, ...rest);
  };
  const links = () => ({ request });
  const done = await acts.freeze(
    { service: NAME, nodes: [], reason: 'x' },
    Object.assign(acting, { links }) as never,
  );
  const names = (await fleet.nodes.getMany(ids)).map(({ name }) => name);
  t.deepEqual([done.done, done.waiting], [names.toSorted(), []]);
});

test('an image from before refuses such an order as a whole, and what it had stays', async (t) => {
  const { orderSchema } = await import('../../../protocol/order.ts');
  const z = await import('zod/mini');
  const { restraints: _, ...shape } = orderSchema.shape;
  const before = z.strictObject(shape);
  const order = orderOf();
  t.true(before.safeParse(order).success);
  t.false(before.safeParse({ ...order, restraints: [{ name: NAME, how: 'freeze' }] }).success);
  for (const wrong of [
    [],
    [{ name: NAME, how: 'stop' }],
    [{ name: NAME, how: 'throttle' }],
    [{ name: NAME, how: 'throttle', rate: 1 }],
  ])
    t.false(orderSchema.safeParse({ ...order, restraints: wrong }).success, JSON.stringify(wrong));
  const twice = { name: NAME, how: 'freeze' };
  t.false(orderSchema.safeParse({ ...order, restraints: [twice, twice] }).success);
});

test('the history of a node whose image refuses such orders says so, once', async (t) => {
  let tries = 0;
  const { acting, fleet } = await house(t, 1, (options) => {
    const request: typeof options.pool.request = async (id, op, ...rest) => {
      if (op !== 'order') return options.pool.request(id, op, ...rest);
      tries += 1;
      throw refusal('ORDER_MALFORMED', 'an order has no field restraints', 'none');
    };
    return startRestraintKeeper({ ...options, pool: { request } });
  });
  const frozen = acts.freeze({ service: NAME, nodes: [], reason: 'x' }, acting);
  await until(() => tries > 2);
  const said = (await fleet.audit.read()).filter(({ action }) => action === 'restraint');
  t.deepEqual(
    said.map(({ reason }) => reason),
    ['its image is from before services could be frozen: it refuses every order that says so'],
  );
  await frozen;
});

test('what is nowhere, or not restrained, is said, and nothing is decided', async (t) => {
  const { acting, fleet, nodes } = await housed(t, 1);
  const ask = { service: 'web/other', nodes: [] as string[], reason: 'x' };
  await t.throwsAsync(acts.freeze(ask, acting), { code: 'SERVICE_NOWHERE' });
  await t.throwsAsync(acts.freeze({ ...ask, service: 'a b' }, acting), { code: 'SERVICE_NOWHERE' });
  await t.throwsAsync(acts.throttle({ ...ask, nodes: [nodes[0]!.id], rate: 5000 }, acting), {
    code: 'SERVICE_NOWHERE',
  });
  await t.throwsAsync(acts.resume({ ...ask, service: NAME }, acting), { code: 'SERVICE_NOT_RESTRAINED' });
  t.is(fleet.decisions.restraints.all.length, 0);
});
