/** The records alone, on a real Redis: what is written together, and what is refused. */
import test from 'ava';
import { BootwaveError } from '../../../../base/error.ts';
import { KEYS } from '../../../../orchestrator/fleet/keys.ts';
import { readIssued, rewind } from '../../../../orchestrator/orders/issued.ts';
import { advance, apply } from '../../../../orchestrator/rollout/engine.ts';
import type { Command, EngineEvent, NodeCommand } from '../../../../orchestrator/rollout/event.ts';
import { readFence } from '../../../../orchestrator/rollout/run/fence.ts';
import { issue } from '../../../../orchestrator/rollout/run/issue.ts';
import { ROLLOUT_KEYS } from '../../../../orchestrator/rollout/run/keys.ts';
import { create, operate } from '../../../../orchestrator/rollout/run/operate.ts';
import { readState } from '../../../../orchestrator/rollout/run/stored.ts';
import { writeStep } from '../../../../orchestrator/rollout/run/write.ts';
import { HOLDERS } from '../../../../orchestrator/upkeep/holders.ts';
import { fleetFor } from '../../fleet/support.ts';
import { nothingAround } from '../around.ts';
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

test('who takes nodes down without a look is seen by all that have looked before', async (t) => {
  const { redis } = await fleetFor(t);
  const diskless = (from: number) => fleetOf(40, 1, () => ({ mode: 'netboot' })).slice(from, from + 4);
  const start = async (from: number, down: 'count' | 'ignore', ...before: EngineEvent[]) => {
    const limits = { ...SPEC.limits, down };
    const id = await create(redis, planOf(diskless(from), { ...SPEC, limits }), IMAGES, by);
    const state = await readState(redis, id);
    const events: EngineEvent[] = [...before, { type: 'start', by: 'operator:ann' }];
    return { state, step: advance(state, { at: by.at, elapsed: 0, events }) };
  };
  const careful = await start(0, 'count', nothingAround());
  t.is(careful.step.fence, 0);
  const careless = await Promise.all([4, 8, 12, 16, 20].map((from) => start(from, 'ignore')));
  const write = ({ state, step }: typeof careful) => writeStep(redis, state, step, IMAGES, by.at);
  const written = await Promise.all(careless.map(write));
  t.deepEqual(
    written.map(({ result }) => result),
    careless.map(() => 'done'),
    'at the same time, and none waits for the others',
  );
  t.is(await readFence(redis), 5);
  t.is((await write(careful)).result, 'conflict');
});

test('an order is written once and delivered again word for word; an epoch never means two things', async (t) => {
  const { redis } = await fleetFor(t);
  const id = await create(redis, planned(1), IMAGES, by);
  const state = await readState(redis, id);
  const step = advance(state, { at: by.at, elapsed: 0, events: [{ type: 'start', by: 'operator:ann' }] });
  await writeStep(redis, state, step, IMAGES, by.at);
  apply(state, step);
  const [order] = step.commands as [NodeCommand];
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

test('a rollout that changes all the while is read as of one revision', async (t) => {
  const { redis } = await fleetFor(t);
  const id = await create(redis, planned(300), IMAGES, by);
  const writer = redis.duplicate({ lazyConnect: true });
  await writer.connect();
  t.teardown(() => writer.disconnect());
  const { rollout, nodes } = await readState(redis, id);
  const [node] = nodes.values();
  let rev = 0;
  let over = false;
  // Both change together, as every step writes them.
  const writing = (async () => {
    while (!over) {
      rev += 1;
      await writer
        .multi()
        .hset(ROLLOUT_KEYS.rollout(id), 'body', JSON.stringify({ ...rollout, rev }))
        .hset(ROLLOUT_KEYS.node(id, node?.node ?? ''), 'body', JSON.stringify({ ...node, seq: rev }))
        .exec();
    }
  })();
  while (rev === 0) await new Promise(setImmediate);
  for (let round = 0; round < 50; round += 1) {
    const seen = await readState(redis, id);
    t.is(seen.nodes.size, 300);
    t.is(seen.nodes.get(node?.node ?? '')?.seq, seen.rollout.rev);
  }
  over = true;
  await writing;
});

test('started in the write that makes it: nobody can be killed in between, and no node is begun by it', async (t) => {
  const { redis } = await fleetFor(t);
  const id = await create(redis, planned(), IMAGES, { ...by, start: true });
  const state = await readState(redis, id);
  t.like(state.rollout, { state: 'running', touches: 0, inFlight: { whole: 0, site: {}, rack: {} } });
  const outbox = await redis.xrange(KEYS.outbox, '-', '+');
  t.deepEqual(
    outbox.map(([, fields]) => fields[1]),
    ['rollout.drive'],
  );
  const four = planOf(
    fleetOf(4, 1, (i) => ({ id: `x${i}`, name: `x${i}` })),
    { ...SPEC, approvals: { count: 1 } },
  );
  const waits = await create(redis, four, IMAGES, { ...by, person: ['ann'], start: true });
  t.is((await readState(redis, waits)).rollout.state, 'awaiting-approval');
});

test('a node is free as soon as it is through, and taken back only by its newest change', async (t) => {
  const { redis } = await fleetFor(t);
  const first = await create(redis, planned(2), IMAGES, { ...by, start: true });
  const held = () => redis.hgetall(HOLDERS);
  const [a, b] = Object.keys(await held()).sort() as [string, string];
  const write = async (...events: EngineEvent[]) => {
    const state = await readState(redis, first);
    const step = advance(state, { at: by.at, elapsed: 60_000, events });
    return writeStep(redis, state, step, IMAGES, by.at);
  };
  let seq = 0;
  const report = (node: string, image: string, boot: string): EngineEvent => {
    seq += 1;
    const running = { seq, image, bootId: boot, config: null, epoch: 99, services: null, failed: [] };
    return { type: 'report', node, report: { ...running, healthy: true, reason: '' } };
  };
  await write({ type: 'tick' });
  for (let i = 0; i < 4; i += 1)
    await write(report(a, '2.0', 'a2'), report(b, '2.0', 'b2'), { type: 'tick' });
  const state = await readState(redis, first);
  t.deepEqual(
    [...state.nodes.values()].map((node) => node.state),
    ['done', 'done'],
  );
  t.deepEqual(await held(), {}, 'the rollout goes on, and its nodes are free');
  t.is(state.rollout.state, 'running');

  await redis.hset(HOLDERS, b, 'ro-other');
  t.like(await write({ type: 'rollback', by: 'operator:ann', why: 'bad' }), {
    result: 'taken',
    owner: 'ro-other',
  });
  const taken: EngineEvent = { type: 'taken', node: b, by: 'ro-other' };
  t.like(await write(taken, { type: 'rollback', by: 'operator:ann', why: 'bad' }), { result: 'done' });
  t.deepEqual(await held(), { [a]: first, [b]: 'ro-other' });
});

test('the number of an order that nobody signed goes back to the one that somebody did', async (t) => {
  const { redis } = await fleetFor(t);
  const id = await create(redis, planned(1), IMAGES, { ...by, start: true });
  const state = await readState(redis, id);
  const step = advance(state, { at: by.at, elapsed: 0, events: [{ type: 'tick' }] });
  const far = step.commands.map((command) => ({ ...command, epoch: 1_700_000_000_000 }) as NodeCommand);
  await writeStep(redis, state, { ...step, commands: far }, IMAGES, by.at);
  const [node] = [...state.nodes.keys()] as [string];
  await rewind(redis, node, 7);
  const issued = (await readIssued(redis, [node])).get(node)!;
  t.is(issued.order.epoch, 7);
  t.is(issue({ ...far[0]!, epoch: 8 }, issued, IMAGES, by.at).result, 'new');
  await rewind(redis, node, 50);
  t.is((await readIssued(redis, [node])).get(node)!.order.epoch, 7, 'never up');
});
