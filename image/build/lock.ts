import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { BootwaveError } from '../../base/error.ts';

/**
 * Runs `work` while holding flock(2) on a file. Node has no flock, so flock(1) holds it and lets go when its input
 * closes: the kernel closes it even when this process is killed, so no lock ever outlives its owner.
 */
export async function withLock<T>(file: string, work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
  const holder = spawn('flock', ['--exclusive', file, 'cat'], {
    stdio: ['pipe', 'pipe', 'inherit'],
    ...(signal === undefined ? {} : { signal }),
  });
  // What is written comes back once it is held; nobody reads where flock could not start.
  holder.stdin.on('error', () => {}).write('held');
  const ended = once(holder, 'close').catch(() => {});
  try {
    await Promise.race([
      once(holder.stdout, 'data'),
      // An abort or a missing program arrives as 'error', which `once` turns into a rejection.
      once(holder, 'close').then(() => {
        throw new BootwaveError({
          code: 'LOCK_FAILED',
          what: `${file} could not be locked`,
          next: 'check that its folder exists and can be written',
        });
      }),
    ]);
    return await work();
  } finally {
    holder.stdin.end();
    holder.kill();
    await ended;
  }
}
