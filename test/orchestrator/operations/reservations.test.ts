/** What the owner of a slice reserves, what is refused, and when it could begin instead. */
import test, { type ExecutionContext } from 'ava';
import { reservationKey } from '../../../orchestrator/fleet/decisions/reservations.ts';
import type { Acting } from '../../../orchestrator/operations/operation.ts';
import * as slice from '../../../orchestrator/operations/slice/acts.ts';
import { reservations, reserve, unreserve } from '../../../orchestrator/operations/slice/reserve.ts';
import { mondayOf } from '../../../orchestrator/slices/reservations/calendar.ts';
import { storeUsages } from '../../../orchestrator/usage/stored.ts';
import type { Usage } from '../../../protocol/link/usage.ts';
import { rewrite } from '../../attack/redis/server.ts';
import { servicesFor } from '../services/world.ts';

const HOUR = 3600_000;
const DAY = 24 * HOUR;
const MIB = 2 ** 20;
const SHARE = { cpu: 20, memory: 64 * MIB, disk: 0, ports: [] };
/** A Monday that is ahead, and an hour after it. */
const NOW = mondayOf(Date.now()) + 7 * DAY;

async function house(t: ExecutionContext) {
  const world = await servicesFor(t);
  const { fleet, paths, member } = world;
  const ids = [await member(1, []), await member(2, [])];
  const acting = (at = NOW, role = 'core') =>
    ({
      ...{ fleet, paths, by: { actor: 'operator:eve', at } },
      identity: { actor: 'operator:eve', role, sites: [] },
    }) as unknown as Acting;
  const make = (name: string, more: object = {}) =>
    slice.create(
      {
        ...{ name, count: 2, perSite: null, where: {}, share: SHARE, teams: [], expires: NOW + 80 * DAY },
        ...more,
      },
      acting(),
    );
  const ask = (name: string, more: object = {}, at = NOW) =>
    reserve({ name, cpu: 0, memory: MIB, from: NOW + HOUR, length: HOUR, ...more }, acting(at));
  const list = (name: string) => reservations({ name }, acting());
  return { ...world, ids, acting, make, ask, list };
}
/** All memory that a node has left beside two slices, found by asking for more than any has. */
async function memoryLeft(t: ExecutionContext, ask: (name: string, more: object) => Promise<unknown>) {
  const { message } = (await t.throwsAsync(ask('probe', { memory: 2 ** 49 }), {
    code: 'RESERVATION_NO_ROOM',
    message: /^node \S+ has \d+ MiB of memory left then, and 536870912 MiB of memory are asked for/,
  }))!;
  return Number(/has (\d+) MiB/.exec(message)![1]) * MIB;
}

test('what fits is reserved; what does not is refused with the next time, and then it is free', async (t) => {
  const { ask, make, list, acting, fleet } = await house(t);
  await make('probe');
  await make('other');
  const all = await memoryLeft(t, ask);
  const made = await ask('probe', { memory: all - 10 * MIB, from: NOW + HOUR + 700 });
  t.like(made, { slice: 'probe', number: 1, from: NOW + HOUR, until: NOW + 2 * HOUR, phase: 'ahead' });
  t.is(made.nodes.length, 2);
  await ask('other', { memory: 10 * MIB });
  const refused = await t.throwsAsync(ask('other', { memory: 20 * MIB, from: NOW + 1.5 * HOUR }), {
    code: 'RESERVATION_NO_ROOM',
  });
  const next = new Date(NOW + 2 * HOUR).toISOString().slice(0, 19).replace('T', ' ');
  t.true((refused as unknown as { next: string }).next.includes(`it can begin at ${next} UTC`));
  t.false(refused!.message.includes('probe'), 'an owner is not told whose it is');
  t.like(await ask('other', { memory: 20 * MIB, from: NOW + 2 * HOUR }), { number: 2 });
  t.is((await list('probe')).length, 1);
  t.true(
    (await fleet.audit.read()).some(({ reason }) => reason?.startsWith('slice probe has reserved 0 % cpu')),
  );

  const ended = await unreserve({ name: 'probe', number: 1 }, acting());
  t.is(ended.phase, 'ended');
  t.like(await ask('other', { memory: all - 10 * MIB }), { number: 3 });
  await t.throwsAsync(unreserve({ name: 'probe', number: 1 }, acting()), { code: 'RESERVATION_OVER' });
  await t.throwsAsync(unreserve({ name: 'probe', number: 9 }, acting()), { code: 'RESERVATION_UNKNOWN' });
});

test('what is reserved is room that no new slice gets, and nobody loses a node for it', async (t) => {
  const { ask, make, acting } = await house(t);
  await make('probe');
  const all = await memoryLeft(t, ask);
  await ask('probe', { memory: all - 10 * MIB });
  await t.throwsAsync(make('late', { share: { ...SHARE, memory: 11 * MIB } }), { code: 'SLICE_NO_ROOM' });
  await make('small', { share: { ...SHARE, memory: 10 * MIB } });
  const { nodes } = await slice.show({ name: 'probe' }, acting());
  t.is(nodes.length, 2);
});

test('hours of a week, times, and slices that cannot: each is said, and nothing is decided', async (t) => {
  const { ask, make, list, fleet } = await house(t);
  await make('probe', { hours: 3 });
  await ask('probe', { length: 2 * HOUR });
  const hours = await t.throwsAsync(ask('probe', { from: NOW + 30 * HOUR, length: 2 * HOUR }), {
    code: 'RESERVATION_HOURS',
    message: /^slice 'probe' can reserve 1 hours more in the week of /,
  });
  const monday = new Date(NOW + 7 * DAY).toISOString().slice(0, 10);
  t.true((hours as unknown as { next: string }).next.includes(`it can begin at ${monday} 00:00:00 UTC`));
  await t.throwsAsync(ask('probe', { length: 4 * HOUR }), { code: 'RESERVATION_HOURS' });
  await ask('probe', { from: NOW + 7 * DAY, length: 2 * HOUR });
  for (const more of [
    { from: NOW - 2 * HOUR },
    { from: NOW + 91 * DAY },
    { from: NOW + 80 * DAY, length: 2 * HOUR },
    { length: 500 },
    { length: 8 * DAY },
  ])
    await t.throwsAsync(ask('probe', more), { code: 'RESERVATION_TIME' }, JSON.stringify(more));
  await t.throwsAsync(ask('probe', { memory: 0 }), { code: 'RESERVATION_NOTHING' });
  await t.throwsAsync(ask('none'), { code: 'SLICE_UNKNOWN' });
  t.is((await list('probe')).length, 2);
  t.is(fleet.decisions.reservations.all.length, 2);
});

test('how nodes keep to it: who began, how late, whose clock is off; none is reserved on an image that knows none', async (t) => {
  const { ask, make, list, ids, fleet, order, release } = await house(t);
  await make('probe');
  await release('shop:1');
  for (const id of ids) await order(id, ['shop@probe:1']);
  await ask('probe');
  const from = NOW + HOUR;
  const usage = (clock: number | undefined, since: number | null): Usage => ({
    ...{ bootId: 'b', at: 1, processors: 1, cpu: null, memory: null, disk: null, network: null },
    ...(clock === undefined ? {} : { clock }),
    services: [
      {
        ...{ name: 'fleet/shop@probe', runs: '1', state: 'running', health: 'healthy', restarts: 0 },
        ...{ cpu: null, memory: null, tasks: null, disk: null, network: null },
        ...(since === null ? {} : { share: { cpu: 1, memory: 1, since } }),
      },
    ],
  });
  const heard = from + 1000;
  const store = (first: Usage, second: Usage) =>
    storeUsages(
      fleet.redis,
      new Map([
        [ids[0]!, { usage: first, heard }],
        [ids[1]!, { usage: second, heard }],
      ]),
    );
  await store(usage(heard + 400, from + 7), usage(heard - 90_000, null));
  const kept = async () => Object.fromEntries((await list('probe'))[0]!.nodes.map((one, i) => [i, one]));
  t.like(await kept(), {
    0: { began: from + 7, late: 7, skew: 400, why: '' },
    1: { began: null, late: null, skew: -90_000, why: '' },
  });
  await fleet.redis.del(...(await fleet.redis.keys('*usage*')));
  t.like((await kept())[0], { began: null, skew: null, why: 'it was not heard of late' });
  await store(usage(heard, null), usage(undefined, null));
  t.is((await kept())[1]!.why, 'its image knows no reservations');
  await t.throwsAsync(ask('probe', { from: NOW + 5 * HOUR }), { code: 'RESERVATION_IMAGE' });
});

test('two at the same moment never get the same room', async (t) => {
  const { ask, make } = await house(t);
  const names = ['probe', 'b', 'c', 'd'];
  for (const name of names) await make(name);
  const all = await memoryLeft(t, ask);
  const done = await Promise.allSettled(names.map((name) => ask(name, { memory: all })));
  t.is(done.filter(({ status }) => status === 'fulfilled').length, 1);
  for (const one of done) if (one.status === 'rejected') t.is(one.reason.code, 'RESERVATION_NO_ROOM');
});

test('whoever owns Redis makes no reservation, moves none and ends none', async (t) => {
  const { ask, make, list, redis, fleet } = await house(t);
  await make('probe');
  const made = await ask('probe');
  const [key, forged] = [reservationKey('probe.1'), reservationKey('probe.2')];
  const body = (await redis.hget(key, 'body'))!;
  await rewrite(redis, key, (was) => ({ ...was, from: NOW + 5 * HOUR, ended: 1, epoch: 9 }));
  await redis.hset(forged, { state: 'made', epoch: '1', body: body.replace('"number":1', '"number":2') });
  await redis.sadd('bootwave:reservations', 'probe.2');
  t.deepEqual(await list('probe'), [made]);
  await redis.del(key);
  t.deepEqual(await list('probe'), [made]);
  const { repairReservations } = await import('../../../orchestrator/slices/reservations/store.ts');
  t.deepEqual(await repairReservations(fleet), ['probe.1']);
  t.is(await redis.hget(key, 'body'), body);
});
