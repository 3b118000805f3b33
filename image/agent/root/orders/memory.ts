/** What a node must never forget about its orders, as stored in the TPM: 112 bytes that outlive every disk. Pure. */
import { createHash } from 'node:crypto';

export type OrderMemory = {
  /** The highest epoch that was obeyed; 0: none. */
  epoch: number;
  /** SHA-256 of that order, hex; empty: none. */
  digest: string;
  /** The release floor: no older image is taken. Null: none was ever ordered. */
  floor: string | null;
};

export const NOTHING: OrderMemory = { epoch: 0, digest: '', floor: null };

const MAGIC = Buffer.from('BWO1', 'latin1');
/** Bytes: magic, epoch (big endian), digest, floor (padded with zeros), and the beginning of a SHA-256 over all of these. */
const PARTS = { magic: 4, epoch: 8, digest: 32, floor: 64, sum: 4 } as const;
export const MEMORY_BYTES = Object.values(PARTS).reduce((sum, bytes) => sum + bytes, 0);

const checksum = (body: Buffer) => createHash('sha256').update(body).digest().subarray(0, PARTS.sum);

export function encodeMemory({ epoch, digest, floor }: OrderMemory): Buffer {
  const number = Buffer.alloc(PARTS.epoch);
  number.writeBigUInt64BE(BigInt(epoch));
  const text = Buffer.alloc(PARTS.floor);
  text.write(floor ?? '', 'latin1');
  const body = Buffer.concat([MAGIC, number, Buffer.from(digest.padEnd(64, '0'), 'hex'), text]);
  return Buffer.concat([body, checksum(body)]);
}

/** @returns null for what was never written, not written by us, or written only in part */
export function decodeMemory(bytes: Buffer): OrderMemory | null {
  if (bytes.length !== MEMORY_BYTES) return null;
  const body = bytes.subarray(0, MEMORY_BYTES - PARTS.sum);
  if (!checksum(body).equals(bytes.subarray(body.length)) || !body.subarray(0, PARTS.magic).equals(MAGIC))
    return null;
  const [digest, floor] = [PARTS.magic + PARTS.epoch, PARTS.magic + PARTS.epoch + PARTS.digest];
  const epoch = Number(body.readBigUInt64BE(PARTS.magic));
  const text = body.subarray(floor).toString('latin1').replace(/\0+$/, '');
  return {
    epoch,
    digest: epoch === 0 ? '' : body.toString('hex', digest, floor),
    floor: text === '' ? null : text,
  };
}
