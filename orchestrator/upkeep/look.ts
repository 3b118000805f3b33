import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { messageOf } from '../../base/error.ts';
import type { Logger } from '../../base/log.ts';
import { Lease } from './lease.ts';

/** A look at 10,000 records takes a second: at most this part of the time is spent on looking. */
const SHARE = 1 / 20;

type Pace = {
  /** Milliseconds between two looks, at least. */
  every: number;
  /** Milliseconds between two looks at the most, however long one took; left out: no limit. */
  longest?: number;
  signal: AbortSignal;
};

export type LookOptions = Pace & {
  redis: Redis;
  /** Of several orchestrators, only the one that holds this lease looks. */
  name: string;
  log: Logger;
};

/** Looks again and again until the signal aborts, with no lease: each server does. @param look never rejects */
export async function lookAgain(
  { every, longest = Number.POSITIVE_INFINITY, signal }: Pace,
  look: () => Promise<void>,
): Promise<void> {
  while (!signal.aborted) {
    const began = performance.now();
    await look();
    const pause = Math.max(every, Math.min((performance.now() - began) / SHARE, longest));
    await sleep(pause, undefined, { signal }).catch(() => {});
  }
}

/**
 * Looks again and again until the signal aborts. A look that fails is tried again at the next turn. Never rejects.
 * @param ended awaited before the lease is given back: work that a look began may continue after it
 */
export async function keepLooking(
  options: LookOptions,
  look: () => Promise<void>,
  ended: () => Promise<unknown> = async () => {},
): Promise<void> {
  const { redis, name, log, signal } = options;
  const lease = new Lease(redis, name);
  let waits = false;
  await lookAgain(options, async () => {
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
  });
  await ended();
  await lease.release().catch(() => {});
}
