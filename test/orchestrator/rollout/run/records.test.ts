/** The records alone, on a real Redis: what is written together, what is refused, what is found out after a failover. */
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { BootwaveError } from '../../../../base/error.ts';
import { KEYS } from '../../../../orchestrator/fleet/keys.ts';
import { readIssued } from '../../../../orchestrator/orders/issued.ts';
import { advance, apply } from '../../../../orchestrator/rollout/engine.ts';
import type { Command, Order } from '../../../../orchestrator/rollout/event.ts';
import { Driver } from '../../../../orchestrator/rollout/run/driver.ts';
import { issue } from '../../../../orchestrator/rollout/run/issue.ts';
import { ROLLOUT_KEYS } from '../../../../orchestrator/rollout/run/keys.ts';
import { create, operate } from '../../../../orchestrator/rollout/run/operate.ts';
import { readState } from '../../../../orchestrator/rollout/run/stored.ts';
import { writeStep } from '../../../../orchestrator/rollout/run/write.ts';
import { leaseKey } from '../../../../orchestrator/upkeep/lease.ts';
import { fleetFor, silent } from '../../fleet/support.ts';
import { fleetOf, planOf } from '../fleet.ts';

const IMAGES = Object.fromEntries(
  ['1.0', '2.0'].map((version) => [version, { sha256: 'a'.repeat(64), size: 1 }]),
);
const SPEC = { waves: [{}], limits: { whole: 4, site: '100%', rack: 9 } };
const by = { author: 'operator:ann', at: 1_800_000_000_000 };
const planned = (count = 4) => planOf(fleetOf(count, 1), SPEC);

test('of two who step from the same revision one writes, and the other leaves no trace', async (t) => {
  const { redis } = await fleetFor(t);
  const id = await create(redis, planned(), IMAGES, by);
  const state = await readState(redis, id);
  const start = advance(state, { at: by.at, elapsed: 0, events: [{ type: 'start', by: 'operator:ann' }] });
  const abort = advance(state, {
    at: by.at,
    elapsed: 0,
    events: [{ type: 'abort', by: 'operator:bob', why: '' }],
  });
  t.is((await writeStep(redis, state, start, IMAGES, by.at)).result, 'done');
  const trace = () =>
    Promise.all([redis.xlen(KEYS.audit), redis.xlen(KEYS.outbox), redis.smembers(ROLLOUT_KEYS.live)]);
  const before = await trace();
  t.is((await writeStep(redis, state, abort, IMAGES, by.at)).result, 'conflict');
  t.deepEqual(await trace(), before);
  const now = await readState(redis, id);
  t.is(now.rollout.state, 'running');
  t.is(now.active.size, 4);
  // With the records went one wake-up per order, and the orders themselves.
  const outbox = await redis.xrange(KEYS.outbox, '-', '+');
  const topics = outbox.map(([, fields]) => fields[1]);
  t.deepEqual(topics.filter((topic) => topic === 'rollout.act').length, 4);
  t.is((await readIssued(redis, [...now.active])).size, 4);
});

test('an order is written once and delivered again word for word; an epoch never means two things', async (t) => {
  const { redis } = await fleetFor(t);
  const id = await create(redis, planned(1), IMAGES, by);
  const state = await readState(redis, id);
  const step = advance(state, { at: by.at, elapsed: 0, events: [{ type: 'start', by: 'operator:ann' }] });
  await writeStep(redis, state, step, IMAGES, by.at);
  apply(state, step);
  const [order] = step.commands as [Order];
  const issued = (await readIssued(redis, [order.node])).get(order.node)!;
  // Sent again much later by a process that knows nothing: the same bytes are in force.
  t.is(issue(order, issued, IMAGES, by.at + 60_000).result, 'same');
  t.is(issued.order.issuedAt, by.at);
  const other: Command = {
    kind: 'rollback',
    how: 'disk',
    version: '1.0',
    drop: '2.0',
    rollout: id,
    node: order.node,
    epoch: order.epoch,
    of: 'image',
  };
  t.deepEqual(issue(other, issued, IMAGES, by.at), { result: 'stale', has: order.epoch });
  t.deepEqual(issue({ ...order, rollout: 'ro-other' }, issued, IMAGES, by.at), {
    result: 'stale',
    has: order.epoch,
  });
  t.like(issue({ ...order, epoch: order.epoch - 1 }, issued, IMAGES, by.at), { result: 'stale' });
  t.is(issue({ ...order, epoch: order.epoch + 1 }, issued, IMAGES, by.at).result, 'new');
});

test('a node belongs to one rollout until that has ended', async (t) => {
  const { redis } = await fleetFor(t);
  const first = await create(redis, planned(), IMAGES, by);
  const error = await t.throwsAsync(create(redis, planned(), IMAGES, by), { instanceOf: BootwaveError });
  t.is(error?.code, 'ROLLOUT_NODE_TAKEN');
  t.deepEqual(await redis.smembers(ROLLOUT_KEYS.all), [first]);
  await operate(redis, first, { type: 'abort', by: 'operator:ann', why: 'not today' });
  t.deepEqual(await redis.smembers(ROLLOUT_KEYS.live), []);
  await t.notThrowsAsync(create(redis, planned(), IMAGES, by));
});

test('a node on an image that is not published could not be taken back: refused at the start', async (t) => {
  const { redis } = await fleetFor(t);
  const error = await t.throwsAsync(create(redis, planned(), { '2.0': IMAGES['2.0']! }, by));
  t.is((error as BootwaveError).code, 'ROLLOUT_NO_WAY_BACK');
  t.deepEqual(await redis.smembers(ROLLOUT_KEYS.all), []);
});

test('a revision that went back is a failover: a new term, and nodes are heard before they are told anything', async (t) => {
  const { redis, fleet } = await fleetFor(t);
  const id = await create(redis, planned(2), IMAGES, by);
  await operate(redis, id, { type: 'start', by: 'operator:ann' });
  const stop = new AbortController();
  t.teardown(() => stop.abort());
  const unreachable = async () => {
    throw new BootwaveError({ code: 'LINK_UNREACHABLE', what: 'nobody is there' });
  };
  const running = new Driver(id, {
    redis,
    fleet,
    pool: { request: unreachable, drop: () => {}, helloOf: () => null },
    log: silent,
    signal: stop.signal,
    tick: 50,
    watch: { active: 100, fleet: 60_000 },
  }).run();
  const until = async (what: (rev: number, term: number) => boolean) => {
    for (;;) {
      const { rollout } = await readState(redis, id);
      if (what(rollout.rev, rollout.term)) return rollout;
      await sleep(20);
    }
  };
  const { rev } = await until((rev) => rev > 3);
  const old = await redis.hgetall(ROLLOUT_KEYS.rollout(id));
  await until((now) => now > rev + 5);
  await redis.hset(ROLLOUT_KEYS.rollout(id), old);
  const after = await until((_, term) => term > 0);
  t.true(after.resync > after.clock);
  stop.abort();
  await running;
  t.is(await redis.exists(leaseKey(id)), 0);
});
