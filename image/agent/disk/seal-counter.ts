/**
 * How often this machine's disk was sealed anew: an NV counter (TPM 2.0 Part 1, 37.2.4), of which each seal names the value
 * that it holds for. A counter never goes back, not even when it is removed and made again (Part 3, 31.3 and 31.8): so
 * a copy of an old seal, for an older floor or older Secure Boot lists, opens nothing any more.
 */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { BootwaveError } from '../../../base/error.ts';
import type { TpmTools } from '../tpm-tools.ts';

/** Beside that of orders (orders/nv.ts). */
export const SEAL_INDEX = '0x180b008';
const LISTED = /\b0x0*180b008\b/i;
/** TPMA_NV (Part 2, 13.4): anybody may read it; the owner counts it up. */
export const COUNTER_ATTRIBUTES = 'nt=counter|ownerwrite|ownerread|authread|no_da';

/**
 * Name of the index with these attributes (Part 1, 16; TPMS_NV_PUBLIC, Part 2, 13.6): nameAlg, and the SHA-256 of handle,
 * nameAlg, attributes, no policy, 8 bytes. Whoever had the machine before may have left one that goes back when it is told to.
 */
const nameWith = (attributes: string): Buffer =>
  Buffer.concat([
    Buffer.from('000b', 'hex'),
    createHash('sha256')
      .update(Buffer.from(`0180b008000b${attributes}00000008`, 'hex'))
      .digest(),
  ]);
/** TPMA_NV_WRITTEN is one of them. */
const COUNTED = nameWith('22060012');
const NEVER_COUNTED = nameWith('02060012');

export type Counter = {
  /** As TPM2_PolicyNV compares it: 8 bytes, big endian. */
  value: Buffer;
  /** Of the index, once it was written (Part 1, 16). */
  name: Buffer;
};

export class SealCounter {
  readonly #tools: TpmTools;

  constructor(tools: TpmTools) {
    this.#tools = tools;
  }

  /**
   * Made when it is not there, and made again when it is another one.
   * @throws BootwaveError `COMMAND_FAILED`: the TPM has no room for it, or does not part with the other one; `SEAL_COUNTER`
   */
  async read(): Promise<Counter> {
    const { stdout } = await this.#tools.must('tpm2_getcap', ['handles-nv-index']);
    let isThere = LISTED.test(stdout);
    if (isThere && !(await this.#isOurs())) {
      await this.#tools.must('tpm2_nvundefine', ['-C', 'o', SEAL_INDEX]);
      isThere = false;
    }
    if (!isThere) await this.#tools.must('tpm2_nvdefine', [SEAL_INDEX, '-C', 'o', '-a', COUNTER_ATTRIBUTES]);
    return (await this.#get()) ?? (await this.increment());
  }

  /** From here on no seal of before is opened. @throws BootwaveError as `read` */
  async increment(): Promise<Counter> {
    await this.#tools.must('tpm2_nvincrement', ['-C', 'o', SEAL_INDEX]);
    const counter = await this.#get();
    if (counter !== null) return counter;
    throw new BootwaveError({
      code: 'SEAL_COUNTER',
      what: `the counter ${SEAL_INDEX} of this TPM cannot be read after it was counted up`,
      next: 'clear the TPM and restart the machine',
    });
  }

  /** @returns null where it was never counted (Part 3, 31.13: TPM_RC_NV_UNINITIALIZED) */
  #get(): Promise<Counter | null> {
    return this.#tools.inScratch(async (scratch) => {
      const value = join(scratch, 'value');
      const read = await this.#tools.run('tpm2_nvread', ['-C', 'o', SEAL_INDEX, '-s', '8', '-o', value]);
      if (read.code !== 0) return null;
      return { value: await readFile(value), name: COUNTED };
    });
  }

  async #isOurs(): Promise<boolean> {
    const { stdout } = await this.#tools.must('tpm2_nvreadpublic', [SEAL_INDEX]);
    const name = /^\s*name:\s*([0-9a-f]{68})$/m.exec(stdout)?.[1];
    return name === COUNTED.toString('hex') || name === NEVER_COUNTED.toString('hex');
  }
}

/** The value after this one. */
export function following(value: Buffer): Buffer {
  const next = Buffer.alloc(8);
  next.writeBigUInt64BE(value.readBigUInt64BE() + 1n);
  return next;
}
