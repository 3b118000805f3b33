import { type KeyObject, sign } from 'node:crypto';
import * as z from 'zod/mini';
import { digestOf } from '../../formats/digest.ts';
import { base64, count, hex } from './fields.ts';

/**
 * The server's time, signed by the key of its certificate. A machine whose clock is wrong refuses that certificate
 * because of its dates, so it asks for the time before it judges them, over a connection that proves nothing. Nobody
 * else has that key.
 */
export const timeRequest = z.strictObject({ nonce: hex(32) });
export const timeReply = z.strictObject({
  /** Milliseconds since the epoch. */
  time: count(),
  /** ECDSA with SHA-256 (DER) over `timeData`, base64. */
  signature: base64(512),
  /** PEM: the server's certificate, then the servers CA. */
  chain: z.string().check(z.maxLength(16_384)),
});
export type TimeReply = z.infer<typeof timeReply>;

/** What a boot server signs when it says what time it is. @param time milliseconds since the epoch */
export function timeData(nonce: Uint8Array, time: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(time));
  return digestOf('bootwave time 1', [nonce, bytes]);
}

/** @param chain PEM, the certificate of `key` first */
export function signTime(key: KeyObject, chain: string, nonce: Uint8Array, time: number): TimeReply {
  return { time, signature: sign('sha256', timeData(nonce, time), key).toString('base64'), chain };
}
