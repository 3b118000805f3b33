import type { Logger } from '../../base/log.ts';
import type { OrderEnvelope } from '../../protocol/order-envelope.ts';
import type { Fleet } from '../fleet/fleet.ts';
import type { LinkPool } from '../transport/pool.ts';
import type { OrderSigner } from './order-signer.ts';

/** Of those who bring nodes an order that they lack, for as long as the server runs. */
export type OrderKeeping = {
  fleet: Fleet;
  pool: Pick<LinkPool, 'request'>;
  signer: OrderSigner;
  log: Logger;
  signal: AbortSignal;
  /** Milliseconds between two looks, and before a node that was not reached is asked again. */
  times?: { look: number; again: number };
};

/**
 * Milliseconds of silence. Root on the node judges an order in its own process and asks the TPM, and both may be slow;
 * asking again too early would start the same work a second time.
 */
const SILENCE = 60_000;

/** Delivers a signed order. @throws NodeRefusal, BootwaveError `LINK_*` as `LinkPool.request` */
export async function deliverOrder(
  pool: Pick<LinkPool, 'request'>,
  node: string,
  envelope: OrderEnvelope,
  options: Omit<NonNullable<Parameters<LinkPool['request']>[3]>, 'timeout'>,
): Promise<void> {
  await pool.request(node, 'order', { envelope }, { ...options, timeout: SILENCE });
}
