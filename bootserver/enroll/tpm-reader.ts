import { BootwaveError } from '../../base/error.ts';

/** Walks a TPM structure: big endian, sized buffers behind a 16-bit length (TPM 2.0 Part 2, 4.2 and 10.4). */
export class TpmReader {
  readonly #bytes: Buffer;
  readonly #code: string;
  #at = 0;

  /** @param code the error code of everything that is wrong with these bytes */
  constructor(bytes: Uint8Array, code: string) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#code = code;
  }

  fail(what: string): never {
    throw new BootwaveError({ code: this.#code, what });
  }

  take(length: number): Buffer {
    if (length > this.#bytes.length - this.#at) {
      this.fail(`a field of ${length} bytes reaches past the end of ${this.#bytes.length}`);
    }
    const part = this.#bytes.subarray(this.#at, this.#at + length);
    this.#at += length;
    return part;
  }

  u8(): number {
    return this.take(1).readUInt8();
  }

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

  end(): void {
    const left = this.#bytes.length - this.#at;
    if (left > 0) this.fail(`${left} bytes follow the structure`);
  }
}
