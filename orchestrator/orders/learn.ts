/**
 * What other servers sign, remembered by this machine's signer as if it had signed it: from then on nobody who owns Redis can
 * hide it from this one, or show it something older.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { messageOf } from '../../base/error.ts';
import type { Logger } from '../../base/log.ts';
import type { Fleet } from '../fleet/fleet.ts';
import type { OrderSigner } from './order-signer.ts';
import { SIGNED_AT, shownIn } from './sign.ts';

/** Milliseconds between two looks. */
const EVERY = 30_000;
/** Milliseconds that the clocks of two servers may differ. */
const SKEW = 600_000;
/** Nodes at a time: an order may take 44 kB. */
const PAGE = 100;

export type LearnOptions = {
  fleet: Fleet;
  signer: OrderSigner;
  log: Logger;
  signal: AbortSignal;
  /** Milliseconds. */
  every?: number;
};

/** Until the signal aborts; never rejects. */
export async function keepLearning(options: LearnOptions): Promise<void> {
  const { fleet, signer, log, signal, every = EVERY } = options;
  const look = learner(fleet, signer);
  let waits = false;
  while (!signal.aborted) {
    try {
      await look();
      waits = false;
    } catch (error) {
      // Logged once, not at every look.
      if (!signal.aborted && !waits)
        log.warn({ reason: messageOf(error) }, 'what other servers have signed cannot be learnt now');
      waits = true;
    }
    await sleep(every, undefined, { signal }).catch(() => {});
  }
}

/** @returns one look; the first is at every node, because a version before does not say when it signs */
export function learner({ redis, nodes }: Fleet, signer: OrderSigner): () => Promise<void> {
  let since: number | null = null;
  let known = new Map<string, string>();
  return async () => {
    const began = Date.now();
    const signed = await signedSince(redis, since === null ? Number.NEGATIVE_INFINITY : since - SKEW);
    const all = since === null ? await nodes.ids() : [];
    const fresh = [...signed].flatMap(([node, at]) => (known.get(node) === at ? [] : [node]));
    const ids = [...new Set([...fresh, ...all])];
    for (let i = 0; i < ids.length; i += PAGE)
      await Promise.all(
        ids.slice(i, i + PAGE).map(async (node) => {
          const shown = await shownIn(redis, node);
          if (shown !== undefined) return signer.learn(node, shown);
          // It is looked at again.
          signed.delete(node);
        }),
      );
    // Only what the next look sees again.
    known = signed;
    since = began;
  };
}

async function signedSince(redis: Redis, since: number): Promise<Map<string, string>> {
  const found = await redis.zrangebyscore(SIGNED_AT, since, '+inf', 'WITHSCORES');
  return new Map(found.flatMap((node, i) => (i % 2 === 0 ? [[node, found[i + 1] ?? ''] as const] : [])));
}
