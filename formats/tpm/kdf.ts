import { createHash, createHmac } from 'node:crypto';

const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
};

/** Labels are hashed with the zero byte that ends them. */
const zeroEnded = (label: string): Buffer => Buffer.from(`${label}\0`, 'latin1');

/**
 * KDFa with SHA-256, at most one block of it: SP 800-108 in counter mode (TPM 2.0 Part 1, 11.4.10.2).
 * @param context nothing, or contextU and contextV one after the other
 * @param bits a multiple of 8, at most 256
 */
export function kdfA(key: Uint8Array, label: string, context: Uint8Array, bits: number): Buffer {
  return createHmac('sha256', key)
    .update(u32(1))
    .update(zeroEnded(label))
    .update(context)
    .update(u32(bits))
    .digest()
    .subarray(0, bits / 8);
}

/**
 * KDFe with SHA-256, one block: SP 800-56A (TPM 2.0 Part 1, 11.4.10.3).
 * @param z x-coordinate of the shared point
 * @param partyU x-coordinate of the ephemeral key
 * @param partyV x-coordinate of the TPM's key
 * @returns 32 bytes
 */
export function kdfE(z: Uint8Array, label: string, partyU: Uint8Array, partyV: Uint8Array): Buffer {
  return createHash('sha256')
    .update(u32(1))
    .update(z)
    .update(zeroEnded(label))
    .update(partyU)
    .update(partyV)
    .digest();
}
