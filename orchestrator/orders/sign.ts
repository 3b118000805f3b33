import type { Redis } from 'ioredis';
import { BootwaveError } from '../../base/error.ts';
import type { Order, OrderEnvelope } from '../../protocol/order.ts';
import { decisionsOf } from '../fleet/decisions/decisions.ts';
import { at } from '../fleet/keys.ts';
import type { OrderSigner } from './order-signer.ts';

/** The newest order that was signed for a node, as it was sent. */
export const signedKey = (node: string): string => at('signed', node);

/** Characters: no envelope is longer, and whoever owns Redis may have put anything there. */
const LONGEST = 16 * 1024;

/** Another server may know better. */
const UNDECIDED: readonly string[] = ['SIGNER_IMAGE_UNDECIDED', 'SIGNER_CONFIG_UNDECIDED'];

async function shownIn(redis: Redis, key: string): Promise<string | undefined> {
  const text = await redis.get(key).catch(() => null);
  return text === null || text.length > LONGEST ? undefined : text;
}

/**
 * Has an order signed, and keeps what comes out for the signers of other servers: each remembers only what it has signed
 * itself, and believes such an envelope because it bears the fleet's key.
 * @throws BootwaveError as `OrderSigner.sign`
 */
export async function sign(redis: Redis, signer: OrderSigner, order: Order): Promise<OrderEnvelope> {
  const key = signedKey(order.node);
  // A signer that knows an older configuration of the node would take it for the way back.
  const first = order.config === null ? undefined : await shownIn(redis, key);
  const envelope = await signer.sign(order, first).catch(async (error: unknown) => {
    if (!(error instanceof BootwaveError) || !UNDECIDED.includes(error.code)) throw error;
    // Another server may have decided it a moment ago, or have moved the node.
    await decisionsOf(redis)?.look();
    return signer.sign(order, await shownIn(redis, key));
  });
  await redis.set(key, JSON.stringify(envelope));
  return envelope;
}
