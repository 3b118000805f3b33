/** What was tried on reservations of slices by somebody with every right over Redis: what is signed is what was decided. */
import test, { type ExecutionContext } from 'ava';
import { sealDecided } from '../../../orchestrator/fleet/decisions/entry.ts';
import { reservationKey } from '../../../orchestrator/fleet/decisions/reservations.ts';
import { KEYS } from '../../../orchestrator/fleet/keys.ts';
import { sign } from '../../../orchestrator/orders/sign.ts';
import { decideReservation, endReservation } from '../../../orchestrator/slices/reservations/store.ts';
import { decideSlice, readTurn, wordOf } from '../../../orchestrator/slices/store.ts';
import type { Order } from '../../../protocol/order.ts';
import { RESERVATION_LIMITS } from '../../../protocol/reservation.ts';
import { orderOf } from '../../orchestrator/signer/orders.ts';
import { by } from './server.ts';
import { NODE, serving } from './serving.ts';

const INSTANCE = 'fleet/resolver@probe';
const HOUR = 3600_000;
const FROM = Math.ceil(Date.now() / HOUR + 1) * HOUR;
const WINDOW = { slice: 'probe', from: FROM, until: FROM + HOUR, cpu: 30, memory: 4096 };
/** What whoever asks for an order says of a node that knows reservations; what it says of them counts for nothing. */
const KNOWS = { reservations: [{ ...WINDOW, slice: 'x', cpu: 99_999 }] };

/** A node that runs a service of a slice, and the reservations of orders that are signed for it. */
async function fleet(t: ExecutionContext) {
  const { signed: order, ...world } = await serving(t, INSTANCE);
  const { fleet, redis, signer } = world;
  await decideSlice(fleet, 'probe', by, 'made', () => ({
    ...{ state: 'live', where: {}, count: 1, perSite: null, teams: [], expires: FROM + 999 * HOUR },
    ...{ share: { cpu: 1, memory: 1, disk: 0, ports: [] }, services: [`${INSTANCE}:1`], template: null },
    ...{ nodes: [NODE], reason: '', says: true },
  }));
  const signed = async (asked?: Partial<Order>) => (await order(asked)).reservations;
  const reserve = async (more: object = {}) =>
    decideReservation(fleet, { ...WINDOW, reason: '', ...more }, by, await readTurn(redis));
  const isReserved = async () => (await signer.client.standing(NODE)).isReserved;
  return { ...world, signed, reserve, isReserved };
}

test('what was decided is in each order of a node that knows it, whoever asks for the next ones; and in none of another', async (t) => {
  const { signed, reserve, isReserved, fleet: found } = await fleet(t);
  t.is(await signed(KNOWS), undefined, 'nothing is reserved');
  t.true(await isReserved());
  await reserve();
  t.false(await isReserved());
  t.is(await signed(), undefined, 'nobody has said that it knows reservations');
  t.deepEqual(await signed(KNOWS), [WINDOW]);
  t.true(await isReserved());
  t.deepEqual(await signed(), [WINDOW], 'and from then on it is known');
  await reserve({ from: FROM + HOUR, until: FROM + 2 * HOUR });
  t.is((await signed())!.length, 2);
  t.is(await signed({ services: [] }), undefined, 'it runs nothing of the slice');
  t.is((await signed(KNOWS))!.length, 2);
  await endReservation(found, { slice: 'probe', number: 1, reason: '' }, { ...by, at: FROM - HOUR });
  t.false(await isReserved());
  t.like(await signed(), [{ from: FROM + HOUR }]);
  await decideSlice(found, 'probe', by, 'moved', (known) => ({ ...wordOf(known!), nodes: [] }));
  t.false(await isReserved(), 'a node that has left the slice has nothing of it');
});

test('those that are over are in no order; of more than an order takes those that begin first', async (t) => {
  const { signed, reserve } = await fleet(t);
  const past = Math.floor(Date.now() / 1000) * 1000 - 1000;
  await reserve({ from: past - HOUR, until: past });
  t.is(await signed(KNOWS), undefined);
  for (let i = 40; i > 0; i -= 1) await reserve({ from: FROM + i * HOUR, until: FROM + i * HOUR + 1000 });
  const all = (await signed(KNOWS))!;
  t.is(all.length, RESERVATION_LIMITS.perOrder);
  t.deepEqual(
    all.map(({ from }) => from),
    all.map((_, i) => FROM + (i + 1) * HOUR),
  );
});

test('rewritten, deleted, rolled back: what is reserved; it stays as it was decided', async (t) => {
  const { redis, signed, reserve } = await fleet(t);
  await reserve();
  const key = reservationKey('probe.1');
  for (const change of [{ ended: 1 }, { until: FROM + 99 * HOUR }, { from: FROM - HOUR }, { cpu: 500 }]) {
    const body = JSON.stringify({ ...JSON.parse((await redis.hget(key, 'body'))!), ...change, epoch: 99 });
    await redis.hset(key, { body, state: 'ended', epoch: '99' });
    t.deepEqual(await signed(KNOWS), [WINDOW], JSON.stringify(change));
  }
  await redis.del(key, KEYS.bans);
  t.deepEqual(await signed(), [WINDOW]);
});

test('forged: a reservation, in the log or in an order that is to be signed; nobody gets more', async (t) => {
  const { redis, bans, signed } = await fleet(t);
  const [[, fields]] = (await redis.xrevrange(KEYS.bans, '+', '-', 'COUNT', 1)) as [[string, string[]]];
  const { actor, at } = by;
  const body = JSON.stringify({ ...WINDOW, number: 1, ended: null, reason: '', epoch: 1, by: actor, at });
  const key = reservationKey('probe.1');
  const entry = sealDecided({ ...{ kind: 'record', actor, at, reason: 'x', key, epoch: 1 }, body });
  await redis.xadd(KEYS.bans, '*', 'entry', entry.text, 'seal', fields[3]!);
  await redis.hset(key, { body, state: 'made', epoch: '1' });
  await bans.look();
  t.is(await signed({ reservations: [WINDOW] }), undefined);
});

test('replayed: under its old number an order is the same, whatever was reserved since', async (t) => {
  const { signed, reserve, signer, redis, services } = await fleet(t);
  await signed();
  const same = orderOf({ node: NODE, epoch: 50, image: null, services, ...KNOWS }, Date.now());
  const first = await sign(redis, signer.client, same);
  await reserve();
  t.deepEqual(await sign(redis, signer.client, same), first);
  await t.throwsAsync(signed({ epoch: 49, ...KNOWS }), { code: 'SIGNER_EPOCH_OLD' });
});
