import type { OrderEnvelope } from '../../protocol/order.ts';
import type { LinkPool } from '../transport/pool.ts';

/**
 * Milliseconds of silence. Root on the node judges an order in a process of its own and asks the TPM, both of which may
 * be slow; who asks again too early starts the same work beside it.
 */
const SILENCE = 60_000;

/** Hands a signed order over. @throws NodeRefusal, BootwaveError `LINK_*` as `LinkPool.request` */
export async function deliverOrder(
  pool: Pick<LinkPool, 'request'>,
  node: string,
  envelope: OrderEnvelope,
  options: Omit<NonNullable<Parameters<LinkPool['request']>[3]>, 'timeout'>,
): Promise<void> {
  await pool.request(node, 'order', { envelope }, { ...options, timeout: SILENCE });
}
