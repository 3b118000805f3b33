/** The configuration of a node in orders that change something else of it. */
import type { Redis } from 'ioredis';
import { BootwaveError } from '../../base/error.ts';
import type { Order, OrderEnvelope } from '../../protocol/order.ts';
import { commit } from '../fleet/commit.ts';
import { decisionsOf } from '../fleet/decisions/decisions.ts';
import { type Issued, issuedChange, readIssued } from './issued.ts';
import type { OrderSigner, Standing } from './order-signer.ts';
import { sign } from './sign.ts';

/** What the signer knows counts, unless an order was issued since: another server may have signed that. */
export function keptConfig(inForce: Issued | undefined, { epoch, config }: Standing): string | null {
  const issued = inForce?.order.config ?? null;
  return config === undefined || (inForce?.order.epoch ?? 0) > epoch ? issued : config;
}

/**
 * As `sign`, for an order that keeps the configuration. Where Redis has another one than was signed for the node last, a
 * restored one or a forged one, its record of the order is put right: the next order keeps what was decided.
 * @throws BootwaveError as `sign`; `ORDER_PUT_RIGHT`
 */
export async function signKept(redis: Redis, signer: OrderSigner, order: Order): Promise<OrderEnvelope> {
  return sign(redis, signer, order).catch(async (error: unknown) => {
    if (!(error instanceof BootwaveError) || error.code !== 'SIGNER_CONFIG_UNDECIDED') throw error;
    if (!(await putRight(redis, signer, order))) throw error;
    throw new BootwaveError({
      code: 'ORDER_PUT_RIGHT',
      what: `Redis had another configuration for ${order.node} than was decided, and its order names the decided one now`,
      unchanged: 'nothing was sent',
      next: 'it is tried again by itself',
      cause: error,
    });
  });
}

async function putRight(redis: Redis, signer: OrderSigner, { node, epoch }: Order): Promise<boolean> {
  const [{ config }, inForce] = await Promise.all([
    signer.standing(node),
    readIssued(redis, [node]).then((found) => found.get(node)),
  ]);
  const issued = inForce?.order;
  if (config === undefined || issued?.epoch !== epoch || issued.config === config) return false;
  decisionsOf(redis)?.disagrees(`configuration of node ${node}`);
  // No rollout has it: the next order is a new one, whoever issues it.
  const next = { kind: inForce!.kind, rollout: 'put right', order: { ...issued, config } };
  // If another process was faster, it is asked again.
  await commit(redis, { records: [issuedChange(inForce, next)] });
  return true;
}
