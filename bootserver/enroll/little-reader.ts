import { BootwaveError } from '../../base/error.ts';

/** Walks a structure of UEFI or of the firmware's event log: little endian, unaligned. */
export class LittleReader {
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
    if (length > this.left) this.fail(`a field of ${length} bytes where ${this.left} are left`);
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  u8(): number {
    return this.take(1).readUInt8();
  }

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

  end(): void {
    if (this.left > 0) this.fail(`${this.left} bytes follow the structure`);
  }
}
