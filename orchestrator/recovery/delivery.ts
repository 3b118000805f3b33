/**
 * How fast the boot server of each site delivers, as it has seen it: kept in Redis, for whichever server carries a plan on. It only ever slows a
 * plan down, never below one node at a time.
 */
import type { Redis } from 'ioredis';
import { z } from 'zod';
import { messageOf } from '../../base/error.ts';
import { jsonIn } from '../../base/json.ts';
import type { Logger } from '../../base/log.ts';
import type { Delivered } from '../../bootserver/http/delivery.ts';
import { at } from '../fleet/keys.ts';
import { lookAgain } from '../upkeep/look.ts';

const EVERY = 10_000;
/** Milliseconds after which what was seen says nothing any more. */
const HOLDS = 3600_000;

const keyOf = (site: string): string => at('delivery', site);
const schema = z.object({ rate: z.number().positive(), image: z.int().positive() });

/** Null: nothing is known. */
export async function deliveredAt(redis: Redis, site: string): Promise<Delivered | null> {
  return schema.safeParse(jsonIn((await redis.get(keyOf(site))) ?? '')).data ?? null;
}

export type DeliveryTelling = {
  redis: Redis;
  site: string;
  /** Of this server. */
  measured: () => Delivered | null;
  log: Logger;
  signal: AbortSignal;
  every?: number;
};

/** Tells it when it changes, until the signal aborts. Never rejects. */
export function tellDelivery({
  redis,
  site,
  measured,
  log,
  signal,
  every = EVERY,
}: DeliveryTelling): Promise<void> {
  let told = '';
  return lookAgain({ every, signal }, async () => {
    const text = JSON.stringify(measured());
    if (text === told || text === 'null') return;
    try {
      await redis.set(keyOf(site), text, 'PX', HOLDS);
      told = text;
    } catch (error) {
      log.debug({ site, reason: messageOf(error) }, 'what was delivered was not told');
    }
  });
}
