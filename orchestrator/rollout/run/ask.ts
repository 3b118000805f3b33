/**
 * An operator's request to a rollout that a process drives: posted to that process, which answers. Written from outside
 * it would have to win a race for the rollout's revision against every step of a busy driver.
 */
import { randomBytes } from 'node:crypto';
import type { Redis } from 'ioredis';
import { hangUp } from '../../redis/connection.ts';
import { isHeld } from '../../upkeep/lease.ts';
import type { OperatorEvent, OperatorRefusal } from '../event.ts';
import type { RolloutRecord } from '../record.ts';
import { post } from './inbox.ts';
import { ROLLOUT_KEYS } from './keys.ts';
import { blockingConnection } from './queue.ts';

export type Answer = { rollout: RolloutRecord; refusal: OperatorRefusal | null };

/** Seconds for a driver to take a request up, and to answer once it has. */
const PATIENCE = { taken: 3, answered: 15 } as const;
/** Milliseconds that a request waits, and that an answer is kept. */
const LIFE = 60_000;

/** @returns null when no driver took it up: then none will any more */
export async function ask(redis: Redis, rollout: string, event: OperatorEvent): Promise<Answer | null> {
  if (!(await isHeld(redis, rollout))) return null;
  const id = randomBytes(9).toString('base64url');
  await redis.set(ROLLOUT_KEYS.asked(id), rollout, 'PX', LIFE);
  await post(redis, rollout, { ...event, ask: id });
  const blocking = blockingConnection(redis);
  const wait = async (seconds: number): Promise<Answer | null> => {
    const reply = await blocking.blpop(ROLLOUT_KEYS.answer(id), seconds);
    return reply === null ? null : (JSON.parse(reply[1]) as Answer);
  };
  try {
    const answer = await wait(PATIENCE.taken);
    if (answer !== null || (await claim(redis, id))) return answer;
    // Taken up and not answered: the driver may have been killed, and may have written it or not.
    return await wait(PATIENCE.answered);
  } finally {
    await hangUp(blocking);
  }
}

/** The process that claims a request acts on it, and no other does. */
export async function claim(redis: Redis, id: string): Promise<boolean> {
  return (await redis.del(ROLLOUT_KEYS.asked(id))) === 1;
}

export async function answer(redis: Redis, id: string, what: Answer): Promise<void> {
  const key = ROLLOUT_KEYS.answer(id);
  await redis.multi().rpush(key, JSON.stringify(what)).pexpire(key, LIFE).exec();
}
