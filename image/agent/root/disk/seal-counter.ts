/**
 * How many times this machine's disk was sealed again: an NV counter (TPM 2.0 Part 1, 37.2.4). Each seal names the
 * counter value for which it is valid. A counter never goes back, not even when it is removed and made again (Part 3,
 * 31.3 and 31.8): so a copy of an old seal, for an older floor or older Secure Boot lists, opens nothing any more.
 */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { BootwaveError } from '../../../../base/error.ts';
import type { TpmTools } from '../tpm-tools.ts';

/** Next to the index of orders (orders/nv.ts). */
export const SEAL_INDEX = '0x180b008';
const LISTED = /\b0x0*180b008\b/i;
/** TPMI_ALG_HASH (Part 2, 6.3). */
const SHA256 = 0x000b;
/** TPMA_NV (Part 2, 13.4): anybody may read it; the owner counts it up. */
export const COUNTER_ATTRIBUTES = 'nt=counter|ownerwrite|ownerread|authread|no_da';

/** The same as bits, once it was counted: TPMA_NV_WRITTEN. */
const COUNTED = 0x2206_0012;
/** What distinguishes our counter from another index with its number (Part 1, 16). */
const COUNTER_NAME = nameOf(SEAL_INDEX, COUNTED);

export type Counter = {
  /** As TPM2_PolicyNV compares it: 8 bytes, big endian. */
  value: Buffer;
  /** Name of the index, once it was written (Part 1, 16). */
  name: Buffer;
};

export class SealCounter {
  readonly #tools: TpmTools;

  constructor(tools: TpmTools) {
    this.#tools = tools;
  }

  /**
   * Creates it if it does not exist. An index that somebody else put in its place, whose value can go back, is
   * replaced.
   * @throws BootwaveError `COMMAND_FAILED`, `SEAL_COUNTER`: the TPM has no room for it
   */
  async read(): Promise<Counter> {
    const { stdout } = await this.#tools.must('tpm2_getcap', ['handles-nv-index']);
    const name = LISTED.test(stdout) ? await this.#name() : null;
    if (name?.equals(COUNTER_NAME) === true) return this.#counter();
    // An index that was defined but never counted has another name, and no value.
    if (name !== null) await this.#tools.must('tpm2_nvundefine', ['-C', 'o', SEAL_INDEX]);
    await this.#tools.must('tpm2_nvdefine', [SEAL_INDEX, '-C', 'o', '-a', COUNTER_ATTRIBUTES]);
    return this.increment();
  }

  /** From here on earlier seals do not open. @throws BootwaveError as `read` */
  async increment(): Promise<Counter> {
    await this.#tools.must('tpm2_nvincrement', ['-C', 'o', SEAL_INDEX]);
    if ((await this.#name())?.equals(COUNTER_NAME) === true) return this.#counter();
    throw new BootwaveError({
      code: 'SEAL_COUNTER',
      what: `the index ${SEAL_INDEX} of this TPM is not a counter`,
      next: 'clear the TPM and restart the machine',
    });
  }

  #counter(): Promise<Counter> {
    return this.#tools.inScratch(async (scratch) => {
      const value = join(scratch, 'value');
      await this.#tools.must('tpm2_nvread', ['-C', 'o', SEAL_INDEX, '-s', '8', '-o', value]);
      return { value: await readFile(value), name: COUNTER_NAME };
    });
  }

  async #name(): Promise<Buffer | null> {
    const { stdout } = await this.#tools.must('tpm2_nvreadpublic', [SEAL_INDEX]);
    const name = /^\s*name:\s*([0-9a-f]{68})$/m.exec(stdout)?.[1];
    return name === undefined ? null : Buffer.from(name, 'hex');
  }
}

/** Name of a TPMS_NV_PUBLIC (Part 2, 13.6) with no policy and 8 bytes of data. */
function nameOf(index: string, attributes: number): Buffer {
  const area = Buffer.alloc(14);
  area.writeUInt32BE(Number(index), 0);
  area.writeUInt16BE(SHA256, 4);
  area.writeUInt32BE(attributes, 6);
  area.writeUInt16BE(0, 10);
  area.writeUInt16BE(8, 12);
  return Buffer.concat([area.subarray(4, 6), createHash('sha256').update(area).digest()]);
}

/** The value after this one. */
export function following(value: Buffer): Buffer {
  const next = Buffer.alloc(8);
  next.writeBigUInt64BE(value.readBigUInt64BE() + 1n);
  return next;
}
