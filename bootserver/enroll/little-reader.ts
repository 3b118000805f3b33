import { ByteReader } from './byte-reader.ts';

/** Walks a structure of UEFI or of the firmware's event log: little endian, unaligned. */
export class LittleReader extends ByteReader {
  u16(): number {
    return this.take(2).readUInt16LE();
  }

  u32(): number {
    return this.take(4).readUInt32LE();
  }

  /** Of lengths and counts: what no number can hold exactly is refused. */
  u64(): number {
    const value = this.take(8).readBigUInt64LE();
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) this.fail(`a length of ${value}`);
    return Number(value);
  }
}
