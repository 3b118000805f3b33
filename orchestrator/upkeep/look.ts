import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { messageOf } from '../../base/error.ts';
import type { Logger } from '../../base/log.ts';
import { Lease } from './lease.ts';

/** A look at 10,000 records takes a second: at most this part of the time is spent on looking. */
const SHARE = 1 / 20;

export type LookOptions = {
  redis: Redis;
  /** Of several orchestrators, only the one that holds this lease looks. */
  name: string;
  /** Milliseconds between two looks, at least. */
  every: number;
  /** Milliseconds between two looks at the most, however long one took; left out: no limit. */
  longest?: number;
  log: Logger;
  signal: AbortSignal;
};

/**
 * Looks again and again until the signal aborts. A look that fails is tried again at the next turn. Never rejects.
 * @param ended awaited before the lease is given back: work that a look began may continue after it
 */
export async function keepLooking(
  options: LookOptions,
  look: () => Promise<void>,
  ended: () => Promise<unknown> = async () => {},
): Promise<void> {
  const { redis, name, every, longest = Number.POSITIVE_INFINITY, log, signal } = options;
  const lease = new Lease(redis, name);
  let waits = false;
  while (!signal.aborted) {
    const began = performance.now();
    try {
      const isOurs = (await lease.renew()) || (await lease.take());
      // The other may have given it back because both are being stopped.
      if (isOurs && !signal.aborted) await look();
      waits = false;
    } catch (error) {
      // Logged once, not at every look.
      if (!signal.aborted && !waits)
        log.warn({ upkeep: name, reason: messageOf(error) }, 'upkeep waits for Redis');
      waits = true;
    }
    const pause = Math.max(every, Math.min((performance.now() - began) / SHARE, longest));
    await sleep(pause, undefined, { signal }).catch(() => {});
  }
  await ended();
  await lease.release().catch(() => {});
}
