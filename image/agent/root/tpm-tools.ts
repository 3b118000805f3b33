import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { mustRun, run } from '../../../base/run.ts';

/** Milliseconds: a discrete TPM may look for RSA primes for half a minute. */
const PATIENCE = 90_000;

/** How tpm2-tools are called; `TPM2TOOLS_TCTI` in `environment` says which TPM. */
export class TpmTools {
  readonly #folder: string;
  readonly #environment: NodeJS.ProcessEnv;

  /** @param folder on tmpfs, made when needed */
  constructor(folder: string, environment: NodeJS.ProcessEnv) {
    this.#folder = folder;
    this.#environment = environment;
  }

  /** Behind the kernel's resource manager nothing stays loaded; without it three keys fill the TPM. */
  async flush(): Promise<void> {
    if (!this.#environment.TPM2TOOLS_TCTI?.includes('tpmrm')) await this.run('tpm2_flushcontext', ['-t']);
  }

  run(program: string, args: readonly string[], input: string | Uint8Array = '') {
    return run(program, args, { env: this.#environment, timeout: PATIENCE, input });
  }

  must(program: string, args: readonly string[], input: string | Uint8Array = '') {
    return mustRun(program, args, { env: this.#environment, timeout: PATIENCE, input });
  }

  /** A folder for files that one piece of work passes from tool to tool. */
  async inScratch<T>(work: (scratch: string) => Promise<T>): Promise<T> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    const scratch = await mkdtemp(join(this.#folder, 'work-'));
    try {
      return await work(scratch);
    } finally {
      await rm(scratch, { recursive: true, force: true });
    }
  }
}

/** @param sys mount point of sysfs */
export async function hasTpm(sys: string, environment: NodeJS.ProcessEnv): Promise<boolean> {
  const tcti = environment.TPM2TOOLS_TCTI ?? '';
  if (tcti !== '' && !tcti.startsWith('device')) return true;
  const version = await readFile(join(sys, 'class/tpm/tpm0/tpm_version_major'), 'utf8').catch(() => '');
  return version.trim() === '2';
}
