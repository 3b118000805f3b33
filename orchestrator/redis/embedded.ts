import { spawn } from 'node:child_process';
import { chmod, mkdir, readFile, realpath } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { BootwaveError } from '../../base/error.ts';
import { FileLock, lockWasHeld, underLock } from './lock.ts';
import { probe } from './probe.ts';
import { type RedisFiles, redisArguments } from './settings.ts';

/** Milliseconds. Loading is counted apart: a large append-only file takes its time. */
const TIMES = { start: 15_000, load: 300_000, stop: 30_000, look: 5 } as const;

const SERVER = '/usr/bin/redis-server';

export async function prepareFolder(files: RedisFiles): Promise<void> {
  await mkdir(files.dir, { recursive: true, mode: 0o700 });
  // The socket is the key to every record: the folder stays closed even where it was made by hand.
  await chmod(files.dir, 0o700);
}

/**
 * Sees to it that exactly one Redis serves `files.dir`: adopts the one that answers on the socket, else starts one.
 * Safe to call from many processes at once and after any of them was killed: the server holds a kernel lock.
 * @returns whether it was not there, so that one was started
 * @throws BootwaveError `REDIS_FAILED`, `REDIS_FOREIGN`, `REDIS_FORBIDDEN`, `COMMAND_MISSING`
 */
export async function ensureRunning(files: RedisFiles, signal?: AbortSignal): Promise<boolean> {
  const dir = await realpath(files.dir);
  const started = performance.now();
  let attempt: Attempt | null = null;
  for (;;) {
    signal?.throwIfAborted();
    const found = await probe(files.socket);
    if (found.state === 'ready') {
      if (found.dir === dir) return attempt !== null;
      throw new BootwaveError({
        code: 'REDIS_FOREIGN',
        what: `the Redis on ${files.socket} keeps its data in ${found.dir}, not in ${dir}`,
        unchanged: 'nothing was written',
        next: `stop that Redis (process ${found.pid}) or choose another data directory`,
      });
    }
    const waited = performance.now() - started;
    if (waited > (found.state === 'loading' ? TIMES.load : TIMES.start)) {
      throw await failed(files, `Redis did not answer within ${Math.round(waited / 1000)} s`);
    }
    if (found.state === 'absent' && (attempt === null || attempt.over)) {
      if (attempt?.exit !== undefined && !lockWasHeld(attempt.exit)) {
        throw await failed(files, `Redis ended at once with exit code ${attempt.exit}`);
      }
      attempt = new Attempt(files);
    }
    await sleep(TIMES.look);
  }
}

/** Waits until the server that was told to shut down has let go of its lock. */
export async function waitUntilStopped(files: RedisFiles): Promise<void> {
  const lock = await FileLock.open(files.serverLock);
  try {
    if (!(await lock.exclusive(TIMES.stop / 1000))) {
      throw await failed(files, `Redis did not stop within ${TIMES.stop / 1000} s`);
    }
  } finally {
    await lock.close();
  }
}

/** One start. Of several at once the kernel lock lets one through; the others end and find its socket. */
class Attempt {
  over = false;
  exit: number | null | undefined;

  constructor(files: RedisFiles) {
    const [program = '', ...args] = underLock(files.serverLock, [SERVER, ...redisArguments(files)]);
    // A session of its own: Ctrl-C on the terminal must reach us first, so that we can finish our writes.
    const child = spawn(program, args, { cwd: files.dir, detached: true, stdio: 'ignore' });
    child.unref();
    const end = (code: number | null) => {
      this.over = true;
      this.exit = code;
    };
    child.on('error', () => end(127));
    child.on('exit', end);
  }
}

async function failed(files: RedisFiles, what: string): Promise<BootwaveError> {
  const log = await readFile(files.log, 'utf8').catch(() => '');
  const last = log.trim().split('\n').slice(-3).join(' | ');
  return new BootwaveError({
    code: 'REDIS_FAILED',
    what: last === '' ? what : `${what}; its last words: ${last}`,
    unchanged: 'the data on disk',
    next: `look at ${files.log}; is the disk full, is the package redis-server installed ('make setup')?`,
  });
}
