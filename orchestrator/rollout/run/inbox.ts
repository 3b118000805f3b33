import type { Redis } from 'ioredis';
import { z } from 'zod';
import { readStored } from '../../fleet/read-stored.ts';
import type { EngineEvent } from '../event.ts';
import { ROLLOUT_KEYS } from './keys.ts';

/**
 * Events for the process that drives the rollout. They may arrive twice or late: the engine recognises news by epoch,
 * boot and sequence. Nodes are asked again for whatever is lost here.
 */
export async function post(redis: Redis, rollout: string, ...events: AskedEvent[]): Promise<void> {
  const key = ROLLOUT_KEYS.inbox(rollout);
  const pipeline = redis.pipeline();
  // Nobody reads the inbox of a rollout that has ended; it must not last longer than anyone could look at it.
  for (const event of events) pipeline.xadd(key, 'MAXLEN', '~', 100_000, '*', 'event', JSON.stringify(event));
  pipeline.expire(key, 7 * 24 * 3600);
  for (const [error] of (await pipeline.exec()) ?? []) if (error !== null) throw error;
}

/** `ask`: somebody waits for an answer under this id (ask.ts). */
export type AskedEvent = EngineEvent & { ask?: string };
export type Posted = { key: string; event: AskedEvent; claimed?: boolean };

type Item = [key: string, fields: string[]];

/**
 * Waits up to `block` ms for what comes after `after`.
 * @param redis a connection of its own: a blocking read holds up every other command
 */
export async function receive(
  redis: Redis,
  rollout: string,
  after: string,
  block: number,
): Promise<Posted[]> {
  const reply = (await redis.xread(
    'COUNT',
    500,
    'BLOCK',
    block,
    'STREAMS',
    ROLLOUT_KEYS.inbox(rollout),
    after,
  )) as [string, Item[]][] | null;
  return (reply?.[0]?.[1] ?? []).map(([key, fields]) => ({ key, event: eventIn(fields[1] ?? '') }));
}

const typed = z.looseObject({ type: z.string() });

/** What none of us wrote means nothing, and keeps no other one waiting. */
const eventIn = (text: string): AskedEvent =>
  (readStored(typed, text) as AskedEvent | null) ?? { type: 'tick' };

/** Removes what a written step has included. */
export async function dismiss(redis: Redis, rollout: string, keys: readonly string[]): Promise<void> {
  if (keys.length > 0) await redis.xdel(ROLLOUT_KEYS.inbox(rollout), ...keys);
}
