import { BootwaveError } from '../base/error.ts';

export const isFill = (bytes: Uint8Array): boolean => bytes.every((byte) => byte === 0);

/** Walks bytes from a machine, forwards only; what reaches past the end is refused before anything of it is read. */
class ByteReader {
  readonly #bytes: Buffer;
  readonly #code: string;
  #at = 0;

  /** @param code the error code of everything that is wrong with these bytes */
  constructor(bytes: Uint8Array, code: string) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#code = code;
  }

  get left(): number {
    return this.#bytes.length - this.#at;
  }

  fail(what: string): never {
    throw new BootwaveError({ code: this.#code, what });
  }

  take(length: number): Buffer {
    if (length > this.left) {
      this.fail(`a field of ${length} bytes reaches past the end of ${this.#bytes.length}`);
    }
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  u8(): number {
    return this.take(1).readUInt8();
  }

  end(): void {
    if (this.left > 0) this.fail(`${this.left} bytes follow the structure`);
  }

  /** As `end`, of what firmware wrote, which may reserve more than it fills: zeros say nothing. */
  endOrZeros(): void {
    const rest = this.take(this.left);
    if (!isFill(rest)) this.fail(`${rest.length} bytes follow the structure`);
  }
}

/** Walks a structure of UEFI or of the firmware's event log: little endian, unaligned. */
export class LittleReader extends ByteReader {
  u16(): number {
    return this.take(2).readUInt16LE();
  }

  u32(): number {
    return this.take(4).readUInt32LE();
  }

  /** For lengths and counts: a number that JavaScript cannot hold exactly is refused. */
  u64(): number {
    const value = this.take(8).readBigUInt64LE();
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) this.fail(`a length of ${value}`);
    return Number(value);
  }
}

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
