import { type KeyObject, sign } from 'node:crypto';
import type { Order } from '../../protocol/order.ts';
import {
  type OrderEnvelope,
  orderEnvelope,
  orderKeyId,
  orderPayload,
  signedBytes,
} from '../../protocol/order-envelope.ts';

/**
 * Signs an order, whatever it says; the product has only the signer for that.
 * @param key Ed25519 private key
 * @throws BootwaveError as `orderPayload`
 */
export function signOrder(order: Order, key: KeyObject): OrderEnvelope {
  const payload = orderPayload(order);
  return orderEnvelope(payload, orderKeyId(key), sign(null, signedBytes(payload), key));
}
