import { setTimeout as sleep } from 'node:timers/promises';
import type { Queue } from 'bull';
import type { Redis } from 'ioredis';
import { z } from 'zod';
import { messageOf } from '../../../base/error.ts';
import type { Logger } from '../../../base/log.ts';
import { KEYS } from '../../fleet/keys.ts';
import { readStored } from '../../fleet/read-stored.ts';
import type { Command } from '../event.ts';
import { TOPICS } from './write.ts';

type Item = [key: string, fields: string[]];

const PAGE = 500;

const anyObject = z.looseObject({});

/**
 * The same wake-up twice is one job while the first one lasts, unless it asks to be done `again`.
 * @returns null for what none of us wrote
 */
function jobId(topic: string, body: string, again: string): string | null {
  if (topic === TOPICS.drive) return `drive/${body}`;
  const command = readStored(anyObject, body) as Command | null;
  if (command === null) return null;
  return again === '' ? idOf(command) : `${idOf(command)}/${again}`;
}

function idOf(command: Command): string {
  return command.kind === 'gate'
    ? `gate/${command.rollout}/${command.wave}/${command.gate}/${command.run}`
    : `act/${command.rollout}/${command.node}/${command.epoch}/${command.kind}`;
}

/**
 * Turns what the outbox holds into jobs, then forgets it: in this order, so that a crash in between makes a job twice
 * and never loses one. Several processes may drain at once. Other topics belong to others.
 * @returns the last key that was seen
 */
export async function drain(redis: Redis, queue: Queue<{ body: string }>, log: Logger): Promise<string> {
  let last = '0-0';
  for (;;) {
    const items = (await redis.xrange(KEYS.outbox, `(${last}`, '+', 'COUNT', PAGE)) as Item[];
    const done: string[] = [];
    const added: Promise<unknown>[] = [];
    for (const [key, fields] of items) {
      last = key;
      const field = (name: string) => (fields.includes(name) ? (fields[fields.indexOf(name) + 1] ?? '') : '');
      const [topic, body] = [field('topic'), field('body')];
      if (!(Object.values(TOPICS) as string[]).includes(topic)) continue;
      done.push(key);
      const id = jobId(topic, body, field('again'));
      // It must not stop those behind it.
      if (id === null)
        log.error({ code: 'OUTBOX_FORGED', topic }, 'a wake-up that none of us wrote is thrown away');
      else added.push(queue.add(topic, { body }, { jobId: id }));
    }
    await Promise.all(added);
    if (done.length > 0) await redis.xdel(KEYS.outbox, ...done);
    if (items.length < PAGE) return last;
  }
}

/**
 * Has unanswered commands carried out, even if a queue still holds jobs for them: jobs of a killed process go to another
 * only when their lock has expired, and until then they block their nodes.
 * @param again a different text each time
 */
export async function wakeAgain(redis: Redis, commands: readonly Command[], again: string): Promise<void> {
  if (commands.length === 0) return;
  const pipeline = redis.pipeline();
  for (const command of commands) {
    const topic = command.kind === 'gate' ? TOPICS.gate : TOPICS.act;
    pipeline.xadd(KEYS.outbox, '*', 'topic', topic, 'body', JSON.stringify(command), 'again', again);
  }
  for (const [error] of (await pipeline.exec()) ?? []) if (error !== null) throw error;
}

/** Drains whenever something comes, until the signal aborts. @param blocking a connection of its own */
export async function keepDraining(
  redis: Redis,
  blocking: Redis,
  queue: Queue<{ body: string }>,
  { log, signal }: { log: Logger; signal: AbortSignal },
): Promise<void> {
  let isStuck = false;
  while (!signal.aborted) {
    try {
      const last = await drain(redis, queue, log);
      isStuck = false;
      await blocking.xread('COUNT', 1, 'BLOCK', 1_000, 'STREAMS', KEYS.outbox, last);
    } catch (error) {
      // Logged once: until Redis is there again no command goes out by this process.
      if (!signal.aborted && !isStuck)
        log.warn({ reason: messageOf(error) }, 'wake-ups of rollouts are not read');
      isStuck = true;
      await sleep(250, undefined, { signal }).catch(() => {});
    }
  }
}
