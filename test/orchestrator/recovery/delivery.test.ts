/** What a boot server has seen of its deliveries, through a real Redis, to the plan that it slows down. */
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { deliveredAt, tellDelivery } from '../../../orchestrator/recovery/delivery.ts';
import { turnNow } from '../../../orchestrator/recovery/keep-plans.ts';
import { FETCH, paceOf, roomFor } from '../../../orchestrator/recovery/pace.ts';
import type { Plan } from '../../../orchestrator/recovery/plans.ts';
import { fleetFor, silent } from '../fleet/support.ts';

const IMAGE = 80e6;
/** At which so many machines have their images in time. */
const rateFor = (machines: number) => (machines * IMAGE * 1000) / FETCH;

test('no more machines than have their images within half of a start, at least one, and never more than people allowed', (t) => {
  t.is(roomFor({ rate: rateFor(3), image: IMAGE }), 3);
  t.is(roomFor({ rate: rateFor(3) - 1, image: IMAGE }), 2);
  t.is(roomFor({ rate: 1, image: IMAGE }), 1);
  t.deepEqual(paceOf(8, [], { rate: rateFor(100), image: IMAGE }), { atOnce: 8, why: null });
  t.deepEqual(paceOf(8, [], { rate: 4e5, image: IMAGE }), {
    atOnce: 3,
    why: '3 at a time in place of 8: the boot server was seen to deliver 0.4 MB/s, and an image has 80.0 MB',
  });
  const again = [
    { name: 'n0', tries: { network: 2 } },
    { name: 'n1', tries: { network: 3 } },
  ];
  t.is(paceOf(8, again, { rate: rateFor(3), image: IMAGE }).atOnce, 2, 'the smaller one of both');
  t.is(paceOf(8, again, { rate: rateFor(1), image: IMAGE }).atOnce, 1);
});

test('a plan begins as many as the boot server of its site can feed; what stands in Redis instead is nothing, or makes it slower', async (t) => {
  const { redis, fleet } = await fleetFor(t);
  const value: Plan = {
    ...{ kind: 'plan', site: 'default', atOnce: 6, startedAt: 1, ended: null },
    nodes: Array.from({ length: 9 }, (_, i) => ({ id: `n${i}`, name: `n${i}`, rack: 'a', number: 0 })),
  };
  const guard = { stopped: () => null, needed: () => null, isMember: () => true } as never;
  const begun = async () => (await turnNow(fleet, { name: 'p', value }, guard)).begin.length;
  t.is(await begun(), 6, 'nothing was seen');
  const stop = new AbortController();
  let rate = rateFor(2);
  const measured = () => ({ rate, image: IMAGE });
  const told = tellDelivery({
    ...{ redis, site: 'default', measured, log: silent, signal: stop.signal },
    every: 10,
  });
  t.teardown(async () => {
    stop.abort();
    await told;
  });
  const until = async (count: number) => {
    for (const last = performance.now() + 60_000; (await begun()) !== count; await sleep(10))
      if (performance.now() > last) throw new Error(`not ${count}: ${await begun()}`);
  };
  await until(2);
  rate = rateFor(4);
  await until(4);
  t.is(
    (await turnNow(fleet, { name: 'p', value: { ...value, site: 'munich' } }, guard)).begin.length,
    6,
    'another site',
  );
  stop.abort();
  await told;
  const [key] = await redis.keys('*delivery*');
  t.true((await redis.pttl(key!)) > 0, 'it is forgotten by itself');
  for (const text of [
    '',
    'null',
    '{',
    '{"rate":0,"image":1}',
    '{"rate":1e999,"image":1}',
    '{"rate":5,"image":-1}',
    '[]',
  ]) {
    await redis.set(key!, text);
    t.is(await deliveredAt(redis, 'default'), null, text);
  }
  await redis.set(key!, JSON.stringify({ rate: 1e300, image: 1 }));
  t.is(await begun(), 6, 'never more than people allowed');
  await redis.set(key!, JSON.stringify({ rate: 1e-300, image: Number.MAX_SAFE_INTEGER }));
  t.is(await begun(), 1, 'never none');
});
