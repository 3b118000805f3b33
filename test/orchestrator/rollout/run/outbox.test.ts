import test from 'ava';
import { KEYS } from '../../../../orchestrator/fleet/keys.ts';
import type { Command } from '../../../../orchestrator/rollout/event.ts';
import { drain, wakeAgain } from '../../../../orchestrator/rollout/run/outbox.ts';
import { openQueue } from '../../../../orchestrator/rollout/run/queue.ts';
import { TOPICS } from '../../../../orchestrator/rollout/run/write.ts';
import { redisFor, silent } from '../../fleet/support.ts';

const ORDER = { kind: 'stage', rollout: 'ro-1', node: 'tpm-1', epoch: 7 } as Command;

test('an order that a dead worker holds is carried out by another as soon as the rollout is taken over', async (t) => {
  const { redis } = await redisFor(t);
  const { queue, close } = openQueue(redis);
  t.teardown(close);
  const begun: string[] = [];
  // Whoever takes it never ends: to the queue that is what a killed process looks like until its lock runs out.
  void queue
    .process(TOPICS.act, 4, (job) => {
      begun.push(job.data.body);
      return new Promise<void>(() => {});
    })
    .catch(() => {});
  const body = JSON.stringify(ORDER);
  const post = async () => redis.xadd(KEYS.outbox, '*', 'topic', TOPICS.act, 'body', body);
  const until = async (count: number) => {
    while (begun.length < count) await new Promise(setImmediate);
  };
  await post();
  await drain(redis, queue, silent);
  await until(1);
  await post();
  await drain(redis, queue, silent);
  t.is(await queue.getWaitingCount(), 0, 'the same wake-up is one job while the first one lasts');

  await wakeAgain(redis, [ORDER], 'taken-over');
  await drain(redis, queue, silent);
  await until(2);
  t.deepEqual(begun, [body, body]);
  t.is(await redis.xlen(KEYS.outbox), 0);
});
