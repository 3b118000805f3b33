import { createServer, type Server } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { BootwaveError } from '../../../../base/error.ts';

const PATIENCE = {
  /** Milliseconds for what another helper does: a file system and an image on a slow disk. */
  within: 600_000,
  again: 200,
} as const;

/**
 * One piece of work on the disks at a time, across all helpers: a helper of an agent that was killed may still be
 * running. The lock is a name in the kernel (unix(7), abstract sockets), which is free again when its holder has ended.
 * @param name of the lock
 * @throws BootwaveError `DISK_BUSY`
 */
export async function alone<T>(
  name: string,
  work: () => Promise<T>,
  patience: { within: number; again: number } = PATIENCE,
): Promise<T> {
  const end = performance.now() + patience.within;
  let lock = await take(name);
  while (lock === null) {
    if (performance.now() >= end)
      throw new BootwaveError({
        code: 'DISK_BUSY',
        what: 'another operation on the disks of this node does not end',
        unchanged: 'nothing was done',
        next: 'try again; if that does not help, restart the node',
      });
    await sleep(patience.again);
    lock = await take(name);
  }
  try {
    return await work();
  } finally {
    lock.close();
  }
}

/** @returns null while another process has it */
function take(name: string): Promise<Server | null> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy());
    server.once('error', (error: NodeJS.ErrnoException) =>
      error.code === 'EADDRINUSE' ? resolve(null) : reject(error),
    );
    server.listen(`\0${name}`, () => resolve(server));
  });
}
