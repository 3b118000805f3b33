import type { Redis } from 'ioredis';
import { BootwaveError } from '../../base/error.ts';
import { ORDER_LIMITS, type Order } from '../../protocol/order.ts';
import type { OrderEnvelope } from '../../protocol/order-envelope.ts';
import { decisionsOf } from '../fleet/decisions/decisions.ts';
import { at } from '../fleet/keys.ts';
import type { OrderSigner, Standing } from './order-signer.ts';

/** The newest order that was signed for a node, as it was sent. */
export const signedKey = (node: string): string => at('signed', node);

/** Sorted set: nodes by milliseconds of the last order that was signed for them. */
export const SIGNED_AT = at('signed-at');

/** Another server may know better. */
const UNDECIDED: readonly string[] = [
  'SIGNER_IMAGE_UNDECIDED',
  'SIGNER_CONFIG_UNDECIDED',
  'SIGNER_SERVICE_UNDECIDED',
];

/** The owner of Redis may have put anything there: a text longer than any envelope can be is not read. */
export async function shownIn(redis: Redis, node: string): Promise<string | undefined> {
  const text = await redis.get(signedKey(node)).catch(() => null);
  return text === null || text.length > ORDER_LIMITS.envelopeCharacters ? undefined : text;
}

/**
 * Has an order signed, and keeps what comes out for the signers of other servers: each remembers only what it has signed
 * itself, and believes such an envelope because it bears the fleet's key.
 * @throws BootwaveError as `OrderSigner.sign`
 */
export async function sign(redis: Redis, signer: OrderSigner, order: Order): Promise<OrderEnvelope> {
  // A signer that knows an older state of the node would keep that, or take it for the way back.
  const first = await shownIn(redis, order.node);
  const envelope = await signer.sign(order, first).catch(async (error: unknown) => {
    if (!(error instanceof BootwaveError) || !UNDECIDED.includes(error.code)) throw error;
    // Another server may have decided it a moment ago, or have moved the node.
    await decisionsOf(redis)?.look();
    return signer.sign(order, await shownIn(redis, order.node));
  });
  const kept = redis.pipeline().set(signedKey(order.node), JSON.stringify(envelope));
  for (const [error] of (await kept.zadd(SIGNED_AT, Date.now(), order.node).exec()) ?? [])
    if (error !== null) throw error;
  return envelope;
}

/** What was signed for a node last, by this server or by another one. */
export async function standingOf(redis: Redis, signer: OrderSigner, node: string): Promise<Standing> {
  return signer.standing(node, await shownIn(redis, node));
}
