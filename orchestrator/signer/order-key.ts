/**
 * What holds the key that signs orders: a file by default; a PKCS#11 token or a KMS fits behind the same members.
 */
import { createPublicKey, type KeyObject, sign } from 'node:crypto';
import { orderKeyId } from '../../protocol/order-envelope.ts';
import { loadOrderKey } from '../orders/key.ts';

export type OrderKey = {
  /** SHA-256 of the SubjectPublicKeyInfo, hex. */
  readonly id: string;
  readonly publicKey: KeyObject;
  /** Ed25519 (RFC 8032) over the bytes as they are. */
  sign(bytes: Buffer): Buffer | Promise<Buffer>;
};

/** @throws BootwaveError as `loadOrderKey` */
export async function fileKey(keysFolder: string): Promise<OrderKey> {
  const key = await loadOrderKey(keysFolder);
  return { id: orderKeyId(key), publicKey: createPublicKey(key), sign: (bytes) => sign(null, bytes, key) };
}
