import { createHash } from 'node:crypto';
import * as z from 'zod/mini';

/** A SHA-256 as it is written everywhere: hex, lower case. */
export const SHA256_HEX = /^[0-9a-f]{64}$/;
export const sha256Hex = z.string().check(z.regex(SHA256_HEX));

/**
 * SHA-256 over a label and parts, each behind its length (32 bits, big endian), so that no two different lists of
 * parts hash the same input. An absent part counts as empty: every caller has a fixed number of parts.
 */
export function digestOf(label: string, parts: readonly (Uint8Array | null)[]): Buffer {
  const hash = createHash('sha256');
  for (const part of [Buffer.from(label, 'utf8'), ...parts]) {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(part?.length ?? 0);
    hash.update(length);
    if (part !== null) hash.update(part);
  }
  return hash.digest();
}

export function sha256(...data: Uint8Array[]): Buffer {
  const hash = createHash('sha256');
  for (const piece of data) hash.update(piece);
  return hash.digest();
}
