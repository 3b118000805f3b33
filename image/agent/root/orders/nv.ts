import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BootwaveError } from '../../../../base/error.ts';
import { run } from '../../../../base/run.ts';
import { decodeMemory, encodeMemory, MEMORY_BYTES, type OrderMemory } from './memory.ts';

/** In the range that belongs to the owner (TCG Registry of Reserved TPM 2.0 Handles, 2.2.2). */
export const ORDER_INDEX = '0x180b007';
const LISTED = /\b0x0*180b007\b/i;

/**
 * TPMA_NV (TPM 2.0 Part 2, 13.4). An ordinary index, because a counter only rises by one and begins where the TPM wants
 * it to (Part 3, 31.8), and holds no floor. Anybody may read it; it is written with the owner's authority, which only
 * root has: the agent's unit has no TPM device at all. No dictionary attack lockout keeps a node from its orders.
 */
const ATTRIBUTES = 'ownerwrite|ownerread|authread|no_da';

/** Milliseconds. */
const PATIENCE = 60_000;

export type NvRead =
  | { state: 'kept'; memory: OrderMemory }
  /** There is no such index: a new TPM, or one that was cleared. */
  | { state: 'absent' };

/** The index of this TPM, through tpm2-tools. */
export class OrderNv {
  readonly #environment: NodeJS.ProcessEnv;

  constructor(environment: NodeJS.ProcessEnv) {
    this.#environment = environment;
  }

  /** @throws BootwaveError `TPM_NV`: the TPM does not answer, or what is there is not ours or was damaged */
  async read(): Promise<NvRead> {
    const indices = await this.#must('tpm2_getcap', ['handles-nv-index']);
    if (!LISTED.test(indices)) return { state: 'absent' };
    return this.#inScratch(async (file) => {
      const read = await run(
        'tpm2_nvread',
        ['-C', 'o', ORDER_INDEX, '-s', String(MEMORY_BYTES), '-o', file],
        {
          env: this.#environment,
          timeout: PATIENCE,
        },
      );
      // Defined and never written: power was cut between the two (Part 3, 31.13: TPM_RC_NV_UNINITIALIZED).
      if (read.code !== 0 && /uninitialized|0x14a|NV_UNINIT/i.test(read.stderr)) return { state: 'absent' };
      const memory = read.code === 0 ? decodeMemory(await readFile(file)) : null;
      if (memory !== null) return { state: 'kept', memory };
      throw failed(
        `index ${ORDER_INDEX} cannot be read: ${reasonOf(read.stderr) || 'its content is damaged'}`,
      );
    });
  }

  /** One command of the TPM, which after a power cut is either done or not done. @throws BootwaveError `TPM_NV` */
  async write(memory: OrderMemory, isThere: boolean): Promise<void> {
    if (!isThere) await this.#define();
    await this.#inScratch(async (file) => {
      await writeFile(file, encodeMemory(memory));
      await this.#must('tpm2_nvwrite', ['-C', 'o', ORDER_INDEX, '-i', file]);
    });
  }

  async #define(): Promise<void> {
    const indices = await this.#must('tpm2_getcap', ['handles-nv-index']);
    if (LISTED.test(indices)) return;
    const size = ['-s', String(MEMORY_BYTES), '-a', ATTRIBUTES];
    await this.#must('tpm2_nvdefine', ['-C', 'o', ORDER_INDEX, ...size]);
  }

  async #must(program: string, args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await run(program, args, { env: this.#environment, timeout: PATIENCE });
    if (code !== 0) throw failed(`${program}: ${reasonOf(stderr)}`);
    return stdout;
  }

  async #inScratch<T>(work: (file: string) => Promise<T>): Promise<T> {
    const folder = await mkdtemp(join(tmpdir(), 'bootwave-nv-'));
    try {
      return await work(join(folder, 'memory'));
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }
}

/** tpm2-tools print the TPM's answer first, and the failure of the tool last. */
function reasonOf(text: string): string {
  const lines = text.trim().split('\n');
  return lines.find((line) => /tpm:\w+\(/.test(line)) ?? lines.at(-1) ?? '';
}

function failed(why: string): BootwaveError {
  return new BootwaveError({
    code: 'TPM_NV',
    what: `this TPM cannot keep the epoch of orders and the release floor: ${why}`,
    next: 'was its owner given a password, or is it full? Clear it, and restart the machine',
  });
}
