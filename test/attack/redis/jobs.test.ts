/** What was tried on wake-ups, jobs and records of rollouts by somebody with every right over Redis. */
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { createLogger } from '../../../base/log.ts';
import { KEYS } from '../../../orchestrator/fleet/keys.ts';
import { post } from '../../../orchestrator/rollout/run/inbox.ts';
import { ROLLOUT_KEYS } from '../../../orchestrator/rollout/run/keys.ts';
import { drain } from '../../../orchestrator/rollout/run/outbox.ts';
import { openQueue } from '../../../orchestrator/rollout/run/queue.ts';
import { startRollouts } from '../../../orchestrator/rollout/run/start.ts';
import { readProgress } from '../../../orchestrator/rollout/run/stored.ts';
import { TOPICS } from '../../../orchestrator/rollout/run/write.ts';
import { redisFor } from '../../orchestrator/fleet/support.ts';
import { membersFor } from '../../orchestrator/rollout/run/members.ts';

const ODD = [
  '',
  'nothing',
  '{',
  '[]',
  '{}',
  'null',
  '7',
  '"drive"',
  '{"kind":"gate"}',
  '{"kind":{"a":1},"node":[]}',
];

function logOf() {
  const written: string[] = [];
  const log = createLogger('test', 'warn', { write: (line: string) => void written.push(line) } as never);
  return { written, log };
}

test('forged: a wake-up that is none keeps no other one waiting, and is said', async (t) => {
  const { redis } = await redisFor(t);
  const { queue, close } = openQueue(redis);
  t.teardown(close);
  const { written, log } = logOf();
  for (const body of ODD)
    for (const topic of [TOPICS.act, TOPICS.gate, TOPICS.drive, 'sh -c'])
      await redis.xadd(KEYS.outbox, '*', 'topic', topic, 'body', body);
  await redis.xadd(KEYS.outbox, '*', 'body', 'alone');
  const good = { kind: 'stage', rollout: 'ro-1', node: 'tpm-1', epoch: 7 };
  await redis.xadd(KEYS.outbox, '*', 'topic', TOPICS.act, 'body', JSON.stringify(good));
  await drain(redis, queue, log);
  const waiting = await queue.getWaiting();
  t.true(waiting.some(({ data }) => data.body === JSON.stringify(good)));
  t.true(written.some((line) => line.includes('OUTBOX_FORGED')));
});

/** A real orchestrator over a fleet that answers nothing, and what it asks of nodes. */
async function orchestrator(t: ExecutionContext) {
  const world = await membersFor(t);
  const { redis, fleet, paths } = world;
  const stop = new AbortController();
  const { written, log } = logOf();
  const asked: string[] = [];
  const { done } = startRollouts({
    ...{ paths, redis, fleet, log, signal: stop.signal },
    pool: {
      request: (async (node: string, op: string) => {
        asked.push(`${op} ${node}`);
        return await sleep(60_000, undefined, { signal: stop.signal });
      }) as never,
      drop: () => {},
      helloOf: () => null,
    },
    signer: {
      sign: async () => Promise.reject(new Error('nothing is signed here')),
      standing: async () => null,
    } as never,
    times: { tick: 50, sweep: 50 },
  });
  t.teardown(async () => {
    stop.abort();
    await done;
  });
  return { ...world, written, asked };
}

test('forged: a job, a rollout, a list of rollouts; what is real is driven all the same', async (t) => {
  const { redis, member, start, asked } = await orchestrator(t);
  const { queue, close } = openQueue(redis);
  t.teardown(close);
  for (const body of ODD)
    for (const topic of [TOPICS.act, TOPICS.gate, TOPICS.drive]) await queue.add(topic, { body });
  for (const id of ['ro-forged', 'ro-odd']) await redis.sadd(ROLLOUT_KEYS.live, id);
  await redis.hset(ROLLOUT_KEYS.rollout('ro-forged'), { state: 'running', epoch: 'x', body: '{' });
  await redis.set(ROLLOUT_KEYS.rollout('ro-odd'), 'no hash');
  const node = await member(1);
  const id = await start({ waves: [{}] });
  while (!asked.some((line) => line.endsWith(node))) await sleep(20);
  t.is((await readProgress(redis, id)).rollout.state, 'running');
});

test('forged: orders that no record bears out are given to nobody', async (t) => {
  const { redis, member, asked } = await orchestrator(t);
  const { queue, close } = openQueue(redis);
  t.teardown(close);
  const node = await member(1);
  for (const kind of ['stage', 'activate', 'rollback', 'rm -rf']) {
    const order = {
      kind,
      rollout: 'ro-forged',
      node,
      epoch: 9,
      of: 'image',
      how: 'disk',
      version: '2.0',
      keep: null,
    };
    await queue.add(TOPICS.act, { body: JSON.stringify(order) });
  }
  while ((await queue.count()) > 0 || (await queue.getActiveCount()) > 0) await sleep(20);
  t.deepEqual(asked, []);
});

test('forged: what was posted to a rollout; people are heard behind it', async (t) => {
  const { redis, member, start, asked } = await orchestrator(t);
  const node = await member(1);
  const id = await start({ waves: [{}] });
  while (!asked.some((line) => line.endsWith(node))) await sleep(20);
  for (const body of [
    ...ODD,
    '{"type":"staged","node":"nobody","epoch":1}',
    '{"type":"healthy"}',
    '{"type":"report","node":{}}',
  ])
    await redis.xadd(ROLLOUT_KEYS.inbox(id), '*', 'event', body);
  await post(redis, id, { type: 'pause', by: 'operator:ann', why: 'look at it' });
  while ((await readProgress(redis, id)).rollout.state !== 'paused') await sleep(20);
  t.pass();
});
