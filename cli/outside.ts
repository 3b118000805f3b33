/** What the system does to a command: closes what it writes to, or refuses it what it needs. */

import { BootwaveError } from '../base/error.ts';
import { userName } from '../orchestrator/operators/host-user.ts';

/** What a person can do about it, by the system's own code; of anything else a stack trace says more. */
const NEXT: Readonly<Record<string, string>> = {
  EACCES: 'run it as root, or as the user whom the data directory belongs to',
  EPERM: 'run it as root, or as the user whom the data directory belongs to',
  EROFS: 'the file system is read-only: mount it for writing, or name another data directory with --data',
  ENOSPC: 'the disk is full: make room',
  EDQUOT: 'the quota of this user is used up: make room',
  EMFILE: "too many files are open: raise the limit ('ulimit -n')",
  ENFILE: 'too many files are open on this machine',
  EIO: 'the disk fails: look at the log of the kernel (dmesg)',
};

/** The same of a file that somebody named. */
const NEXT_NAMED: Readonly<Record<string, string>> = {
  ENOENT: 'name a file that is there; to write one, its folder must be there',
  EEXIST: 'name another file, or move this one away',
  EISDIR: 'name a file: this is a folder',
  ENOTDIR: 'name a file below a folder',
};

/**
 * @param words of the command line: a file that none of them names was not chosen by a person
 * @returns the coded error of what the system refused; null for anything that is a fault of ours
 */
export function ofTheSystem(error: unknown, words: readonly string[] = []): BootwaveError | null {
  if (error instanceof BootwaveError || !(error instanceof Error)) return null;
  const { code = '', path, syscall } = error as NodeJS.ErrnoException;
  const isNamed = path !== undefined && words.some((word) => word === path || word.endsWith(`=${path}`));
  const next = NEXT[code] ?? (isNamed ? NEXT_NAMED[code] : undefined);
  if (next === undefined || syscall === undefined) return null;
  const isForbidden = code === 'EACCES' || code === 'EPERM';
  const where = path ?? syscall;
  return new BootwaveError({
    code: isForbidden ? 'NOT_PERMITTED' : 'SYSTEM_REFUSED',
    what: isForbidden ? `user ${userName()} may not use ${where}` : `${where}: ${error.message}`,
    unchanged: 'this step was not done; what was done before it stays',
    next,
    cause: error,
  });
}

/**
 * `bootwave node watch | head -1`: whoever read has seen enough, which is nobody's fault (EPIPE). What runs until it is told to
 * stop is told so; the rest has nothing more to say.
 */
export function whenReaderLeaves(...streams: NodeJS.WriteStream[]): void {
  for (const stream of streams)
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error;
      if (!process.emit('SIGTERM')) process.exit(0);
    });
}
