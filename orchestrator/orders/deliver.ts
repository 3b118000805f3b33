import type { OrderEnvelope } from '../../protocol/order.ts';
import type { LinkPool } from '../transport/pool.ts';

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
