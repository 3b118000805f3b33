import { ORDER_LIVES } from '../../../orchestrator/orders/issue.ts';
import { ORDER_FORMAT, type Order } from '../../../protocol/order.ts';

export const NOW = Date.UTC(2026, 0, 1);
export const NODE = `tpm-${'a'.repeat(64)}`;
/** What publishManifests says of every version. */
export const FACTS = { sha256: 'a'.repeat(64), size: 1_000_000 };

export function orderOf(more: Partial<Order> = {}, now = NOW): Order {
  const life = more.wipe === true ? ORDER_LIVES.wipe : ORDER_LIVES.other;
  return {
    ...{ format: ORDER_FORMAT, node: NODE, epoch: 1, issuedAt: now, expires: now + life, mode: 'installed' },
    ...{ image: { version: '2.0', ...FACTS }, services: [], config: null, wipe: false, forgiven: [] },
    ...more,
  };
}
