import { type KeyObject, sign } from 'node:crypto';
import { digestOf } from '../../formats/digest.ts';
import type { TimeReply } from './messages.ts';

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
