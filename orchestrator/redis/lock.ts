import { spawn } from 'node:child_process';
import { type FileHandle, open } from 'node:fs/promises';

/** flock(1) ends with this when the lock is held by another. */
const HELD = 75;

/**
 * A kernel lock on a file (flock(2)), held by this process's own open file and so released by the kernel when the
 * process dies in any way. Node has no flock: util-linux's flock(1) locks the open file description that it inherits,
 * which stays locked after it has gone.
 */
export class FileLock {
  readonly #handle: FileHandle;

  private constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  static async open(path: string): Promise<FileLock> {
    return new FileLock(await open(path, 'a+', 0o600));
  }

  /** @returns false when another still held it after `seconds` */
  shared(seconds: number): Promise<boolean> {
    return this.#take(['-s', '-w', String(seconds)]);
  }

  /** Turns a shared lock into an exclusive one when nobody else holds it. */
  exclusiveNow(): Promise<boolean> {
    return this.#take(['-x', '-n']);
  }

  /** @returns false when another still held it after `seconds` */
  exclusive(seconds: number): Promise<boolean> {
    return this.#take(['-x', '-w', String(seconds)]);
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }

  #take(how: readonly string[]): Promise<boolean> {
    return new Promise((resolve, reject) => {
      const child = spawn('flock', ['-E', String(HELD), ...how, '3'], {
        stdio: ['ignore', 'ignore', 'ignore', this.#handle.fd],
      });
      child.on('error', reject);
      child.on('exit', (code) => {
        if (code === 0) resolve(true);
        else if (code === HELD) resolve(false);
        else reject(new Error(`flock ended with exit code ${code}`));
      });
    });
  }
}

/** The command line that runs `program` in place under an exclusive lock that lives as long as the program. */
export function underLock(path: string, program: readonly string[]): string[] {
  return ['flock', '--nonblock', '--no-fork', '-E', String(HELD), path, ...program];
}

/** Whether a program of `underLock` ended because another holds the lock. */
export function lockWasHeld(exitCode: number | null): boolean {
  return exitCode === HELD;
}
