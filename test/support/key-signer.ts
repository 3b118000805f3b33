import type { KeyObject } from 'node:crypto';
import type { OrderSigner } from '../../orchestrator/orders/order-signer.ts';
import { signOrder } from '../../protocol/order.ts';

/** Signs whatever it is asked to, for tests of those who ask. */
export function keySigner(key: KeyObject): OrderSigner {
  return {
    sign: async (order) => signOrder(order, key),
    standing: async () => ({ epoch: 0, wipe: null }),
  };
}
