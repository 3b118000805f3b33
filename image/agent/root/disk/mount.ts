import { constants } from 'node:fs';
import { mkdir, open } from 'node:fs/promises';
import { BootwaveError } from '../../../../base/error.ts';
import { mustRun, type RunResult, run } from '../../../../base/run.ts';

/**
 * `dirsync`: a rename or removal is on the disk, in order, when the call returns; the new name before the old one
 * goes. Without it the kernel may write the two halves of a rename in either order, and a power cut lose the file.
 */
const OPTIONS = 'dirsync,nosuid,nodev,noexec,umask=0077';
const LIMIT = { timeout: 120_000 };

/**
 * Mounts the ESP for as long as `work` runs. Before writing it is checked and repaired: after a power cut in the middle of a
 * rename two names share one file's clusters, and removing either would destroy the other.
 * @throws BootwaveError `ESP_BUSY`, `ESP_BROKEN`, `COMMAND_FAILED`
 */
export async function withEsp<T>(
  device: string,
  folder: string,
  mode: 'ro' | 'rw',
  work: (folder: string) => Promise<T>,
): Promise<T> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  if (mode === 'rw') await repair(device);
  await mount(device, folder, mode);
  let result: T;
  try {
    result = await work(folder);
  } catch (error) {
    await run('umount', [folder], LIMIT);
    throw error;
  }
  // Writes what is left, including the file system's clean mark (syncfs), and fails when that fails.
  await mustRun('umount', [folder], LIMIT);
  return result;
}

async function mount(device: string, folder: string, mode: 'ro' | 'rw'): Promise<void> {
  const done = await run('mount', ['-t', 'vfat', '-o', `${mode},${OPTIONS}`, device, folder], LIMIT);
  if (done.code === 0) return;
  await refuseBusy(device);
  throw broken(device, 'cannot be mounted', done);
}

/**
 * Runs fsck.fat(8); of two names that share clusters it empties the second.
 * @throws BootwaveError `ESP_BUSY`, `ESP_BROKEN`
 */
export async function repair(device: string): Promise<void> {
  await refuseBusy(device);
  const first = await run('fsck.vfat', ['-a', device], LIMIT);
  if (first.code === 0) return;
  // It exits with 1 both when it repaired and when it could not: only a second, clean run tells.
  const second = await run('fsck.vfat', ['-n', device], LIMIT);
  if (second.code !== 0) throw broken(device, 'cannot be repaired', second);
}

function broken(device: string, how: string, { stdout, stderr }: RunResult): BootwaveError {
  return new BootwaveError({
    code: 'ESP_BROKEN',
    what: `the EFI system partition ${device} ${how}: ${(stderr.trim() || stdout.trim()).split('\n').at(-1) ?? ''}`,
    unchanged: 'nothing new was written to it',
    next: 'install the node again, with an order that allows wiping',
  });
}

/** No mount table shows it, because every helper has its own: the kernel knows (open(2), O_EXCL on devices). */
async function refuseBusy(device: string): Promise<void> {
  try {
    const handle = await open(device, constants.O_RDONLY | constants.O_EXCL);
    await handle.close();
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'EBUSY') throw cause;
    throw new BootwaveError({
      code: 'ESP_BUSY',
      what: `${device} is mounted elsewhere`,
      unchanged: 'nothing was written to it',
      next: 'try again when the other operation is done',
      cause,
    });
  }
}
