import { statfs } from 'node:fs/promises';
import { BootwaveError, messageOf } from '../../base/error.ts';

/** Bytes that a build needs below its cache: without and with a Debian root there. Measured, with room to grow. */
export const NEEDED_COLD = 1536 * 1024 ** 2;
export const NEEDED_WARM = 320 * 1024 ** 2;
/** Bytes below the data directory: the largest image that is accepted, signed and unsigned. */
export const NEEDED_PUBLISH = 220 * 1024 ** 2;

function diskFull(folder: string, cause?: unknown, detail = ''): BootwaveError {
  return new BootwaveError({
    code: 'IMAGE_DISK_FULL',
    what: `the disk below ${folder} is full${detail}`,
    unchanged: 'nothing was published, and what the build had written was removed',
    next: 'free some space there, or name other folders by BOOTWAVE_BUILD_CACHE and --data',
    cause,
  });
}

/** @throws BootwaveError `IMAGE_DISK_FULL` before anything is written, when it will certainly not fit */
export async function needSpace(folder: string, bytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(folder);
  const free = bavail * bsize;
  if (free >= bytes) return;
  const mega = (value: number) => Math.round(value / 1e6);
  throw diskFull(folder, undefined, `: ${mega(bytes)} MB are needed, ${mega(free)} MB are free`);
}

/** Programs report it by text, Node by a code. */
export function isDiskFull(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  return (
    code === 'ENOSPC' ||
    code === 'EDQUOT' ||
    /no space left on device|disk quota exceeded/i.test(messageOf(error))
  );
}

/** As one error on which a user can act. */
export function asDiskFull(error: unknown, folder: string): unknown {
  if (error instanceof BootwaveError && error.code === 'IMAGE_DISK_FULL') return error;
  return isDiskFull(error) ? diskFull(folder, error) : error;
}
