/** What was tried on frozen services by somebody with every right over Redis. */

import test, { type ExecutionContext } from 'ava';
import { commit } from '../../../orchestrator/fleet/commit.ts';
import { sealDecided } from '../../../orchestrator/fleet/decisions/entry.ts';
import { EVERYWHERE, restraintKey, restraintName } from '../../../orchestrator/fleet/decisions/restraints.ts';
import { KEYS } from '../../../orchestrator/fleet/keys.ts';
import { freeze } from '../../../orchestrator/operations/restraint/acts.ts';
import { orderKey } from '../../../orchestrator/orders/issued.ts';
import { sign } from '../../../orchestrator/orders/sign.ts';
import { decideRestraint, type Word } from '../../../orchestrator/restraints/decide.ts';
import type { Order } from '../../../protocol/order.ts';
import { orderOf } from '../../orchestrator/signer/orders.ts';
import { by } from './server.ts';
import { NODE, serving } from './serving.ts';

const SERVICE = 'fleet/resolver';
const FREEZE: Word = { service: SERVICE, node: NODE, how: 'freeze', rate: null, reason: 'it scans' };

/** A node that runs a service, and the restraints of orders that are signed for it. */
async function fleet(t: ExecutionContext) {
  const { signed: order, ...world } = await serving(t, SERVICE);
  const { fleet } = world;
  const signed = async (asked?: Partial<Order>, node?: string) => (await order(asked, node)).restraints;
  const say = (word: Partial<Word>) => decideRestraint(fleet, { ...FREEZE, ...word }, by);
  return { ...world, signed, say };
}

test('what people decide is in every order of the node from then on, whoever asks for it, and the stricter word counts', async (t) => {
  const { signed, say, signer } = await fleet(t);
  t.is(await signed(), undefined);
  t.true(await say({ node: EVERYWHERE, how: 'throttle', rate: 5000 }));
  t.false((await signer.client.standing(NODE)).isRestrained);
  t.deepEqual(await signed(), [{ name: SERVICE, how: 'throttle', rate: 5000 }]);
  t.true((await signer.client.standing(NODE)).isRestrained);
  t.true(await say({ how: 'throttle', rate: 2000 }));
  t.deepEqual(await signed(), [{ name: SERVICE, how: 'throttle', rate: 2000 }]);
  t.true(await say({}));
  t.false(await say({}), 'said already');
  t.deepEqual(await signed(), [{ name: SERVICE, how: 'freeze' }]);
  t.is(await signed({ services: [] }), undefined, 'what it does not run is not restrained');
  t.true(await say({ how: null }));
  t.deepEqual(await signed(), [{ name: SERVICE, how: 'throttle', rate: 5000 }]);
  t.true(await say({ node: EVERYWHERE, how: null }));
  t.is(await signed(), undefined);
});

test('rewritten, deleted, rolled back: what is frozen; it stays frozen', async (t) => {
  const { redis, signed, say } = await fleet(t);
  await say({});
  const key = restraintKey(restraintName(FREEZE));
  const body = JSON.stringify({ ...JSON.parse((await redis.hget(key, 'body'))!), how: null, epoch: 99 });
  await redis.hset(key, { body, state: 'free', epoch: '99' });
  t.deepEqual(await signed(), [{ name: SERVICE, how: 'freeze' }]);
  await redis.del(key);
  await redis.del(KEYS.bans);
  t.deepEqual(await signed(), [{ name: SERVICE, how: 'freeze' }]);
  t.true(await say({ how: null }), 'people let it go all the same');
  t.is(await signed(), undefined);
});

test('forged: that a service is frozen, in the log or in an order that is to be signed; nobody is', async (t) => {
  const { redis, bans, signed } = await fleet(t);
  const [[, fields]] = (await redis.xrevrange(KEYS.bans, '+', '-', 'COUNT', 1)) as [[string, string[]]];
  const { actor, at } = by;
  const decided = { ...FREEZE, epoch: 1, by: actor, at };
  const entry = sealDecided({
    ...{ kind: 'record', actor, at, reason: 'x', key: restraintKey(restraintName(FREEZE)), epoch: 1 },
    body: JSON.stringify(decided),
  });
  await redis.xadd(KEYS.bans, '*', 'entry', entry.text, 'seal', fields[3]!);
  await redis.hset(restraintKey(restraintName(FREEZE)), { body: entry.body, state: 'freeze', epoch: '1' });
  await bans.look();
  t.is(await signed(), undefined);
  t.is(await signed({ restraints: [{ name: SERVICE, how: 'freeze' }] }), undefined);
});

test('replayed: the order before it was frozen; under its old number it is the same, under a new one it is frozen', async (t) => {
  const { signed, say, signer, redis } = await fleet(t);
  await signed();
  const same = orderOf({ node: NODE, epoch: 50, image: null, services: [] }, Date.now());
  const first = await sign(redis, signer.client, same);
  await say({});
  t.deepEqual(await sign(redis, signer.client, same), first);
  await t.throwsAsync(signed({ epoch: 49 }), { code: 'SIGNER_EPOCH_OLD' });
});

test('run in a slice: the instance is frozen with its service, and alone', async (t) => {
  const { fleet: found, say, paths, bans } = await fleet(t);
  const restrained = () => found.decisions.restraints.on(NODE, ['web/shop@probe', 'web/shop']);
  await say({ service: 'web/shop', node: EVERYWHERE });
  t.deepEqual(
    restrained().map(({ name }) => name),
    ['web/shop', 'web/shop@probe'],
  );
  await say({ service: 'web/shop', node: EVERYWHERE, how: null });
  const order = orderOf({ node: NODE, epoch: 9, image: null }, Date.now());
  const services = [{ name: 'web/shop@probe', version: '1', sha256: 'a'.repeat(64), size: 1 }];
  const body = JSON.stringify({ rollout: 'ro-1', kind: 'activate', order: { ...order, services } });
  const next = { state: 'issued', epoch: 9, body };
  await commit(found.redis, { records: [{ key: orderKey(NODE), expect: null, next }] });
  const acting = { fleet: found, paths, bans, by, links: () => undefined } as never;
  const asked = { service: 'web/shop@probe', nodes: [NODE], reason: 'it scans' };
  t.like(await freeze(asked, acting), { changed: true, service: 'web/shop@probe' });
  t.deepEqual(restrained(), [{ name: 'web/shop@probe', how: 'freeze' }]);
  t.like(await freeze({ ...asked, service: 'web/shop' }, acting), { changed: true });
});
