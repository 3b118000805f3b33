/** A block device as the wipe reads and writes it. */
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { mustRun } from '../../../../../base/run.ts';
import type { Target } from './read-back.ts';

/** Milliseconds: some drives take minutes to discard terabytes. */
const DISCARD = 15 * 60_000;
const FLUSH = 60_000;

/**
 * Exclusive: the kernel refuses a disk that is mounted, or part of one that is in use.
 * @param path of the whole disk
 * @param access as in open(2)
 */
export async function withBlockDevice<T>(
  path: string,
  use: (target: Target) => Promise<T>,
  access: number = constants.O_RDWR,
): Promise<T> {
  const handle = await open(path, access | constants.O_EXCL | constants.O_SYNC);
  try {
    const size = Number((await mustRun('blockdev', ['--getsize64', path])).stdout);
    return await use(targetOf(path, handle, size));
  } finally {
    await handle.close();
  }
}

function targetOf(path: string, handle: FileHandle, size: number): Target {
  return {
    size,
    async read(into, at) {
      const { bytesRead } = await handle.read(into, 0, into.length, at);
      if (bytesRead !== into.length)
        throw new Error(`only ${bytesRead} of ${into.length} bytes at ${at} were read`);
    },
    async write(from, at) {
      const { bytesWritten } = await handle.write(from, 0, from.length, at);
      if (bytesWritten !== from.length) throw new Error(`only ${bytesWritten} bytes at ${at} were written`);
    },
    async settle() {
      await handle.sync();
      // Else the kernel would answer from its memory what it was told itself.
      await mustRun('blockdev', ['--flushbufs', path], { timeout: FLUSH });
    },
    async discard() {
      await mustRun('blkdiscard', ['--force', path], { timeout: DISCARD });
    },
  };
}
