import { ByteReader } from './byte-reader.ts';

/** Walks a TPM structure: big endian, sized buffers behind a 16-bit length (TPM 2.0 Part 2, 4.2 and 10.4). */
export class TpmReader extends ByteReader {
  u16(): number {
    return this.take(2).readUInt16BE();
  }

  u32(): number {
    return this.take(4).readUInt32BE();
  }

  u64(): bigint {
    return this.take(8).readBigUInt64BE();
  }

  /** TPM2B_*: a length and that many bytes. */
  sized(most: number): Buffer {
    const length = this.u16();
    if (length > most) this.fail(`a field of ${length} bytes where ${most} is the most`);
    return this.take(length);
  }
}
