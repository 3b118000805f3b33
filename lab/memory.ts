/**
 * A machine's memory and devices in a file: what QEMU calls a migration (docs/devel/migration.rst). It holds the volatile
 * half of the TPM too, PCRs included; disk, UEFI variables and the TPM's own folder have to be copied beside it.
 */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { BootwaveError } from '../base/error.ts';
import { shellWord } from './machine.ts';
import type { Qmp } from './qmp.ts';

export const memoryFile = (folder: string) => join(folder, 'memory');

/** Bytes per second: no limit, because the machine does not run meanwhile. */
const BANDWIDTH = 2 ** 40;

/** @throws BootwaveError `LAB_QMP`, `LAB_SAVE` */
export async function writeMemory(qmp: Qmp, file: string): Promise<void> {
  await qmp.execute('migrate-set-parameters', { 'max-bandwidth': BANDWIDTH });
  await qmp.execute('migrate', { uri: `exec:cat > ${shellWord(file)}` });
  for (;;) {
    const { status, 'error-desc': why } = (await qmp.execute('query-migrate')) as Migration;
    if (status === 'completed') return;
    if (status === 'failed' || status === 'cancelled') {
      throw new BootwaveError({
        code: 'LAB_SAVE',
        what: `QEMU could not write the machine's memory (${why ?? status})`,
        unchanged: 'the machine runs on',
        next: 'is the disk full?',
      });
    }
    await sleep(20);
  }
}

type Migration = { status?: string; 'error-desc'?: string };

/** Waits until a machine that is being resumed has all of its memory. One that was just switched on has. */
export async function loaded(qmp: Qmp): Promise<void> {
  for (;;) {
    const { status } = (await qmp.execute('query-status')) as { status: string };
    if (status !== 'inmigrate') return;
    await sleep(20);
  }
}
