/** Encryption is that of age (https://age-encryption.org/v1): Debian's own program, so that a backup can be read without us. */
import { type ChildProcess, spawn } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import { BootwaveError, messageOf } from '../../base/error.ts';
import { commandMissing, lastWords } from '../../base/run.ts';

type Ended = { code: number | null; words: string };

/** What comes in is encrypted to all of `recipients` and written to the open file `fd`. */
export function encrypting(
  recipients: readonly string[],
  fd: number,
): { input: Writable; ended: Promise<Ended>; kill(): void } {
  const args = ['--encrypt', ...recipients.flatMap((one) => ['--recipient', one])];
  const child = spawn('age', args, { stdio: ['pipe', fd, 'pipe'] });
  // Whoever writes to one that has ended is told by how it ended.
  child.stdin!.on('error', () => {});
  return { input: child.stdin!, ended: end(child), kill: () => child.kill() };
}

/** @param identity file with the private key; age asks for its passphrase at the terminal if it has one */
export function decrypting(
  file: string,
  identity: string,
): { output: Readable; ended: Promise<Ended>; kill(): void } {
  const args = ['--decrypt', '--identity', identity, '--', file];
  const child = spawn('age', args, { stdio: ['ignore', 'pipe', 'pipe'] });
  return { output: child.stdout!, ended: end(child), kill: () => child.kill() };
}

function end(child: ChildProcess): Promise<Ended> {
  const words = lastWords(child.stderr!);
  return new Promise((resolve, reject) => {
    child.on('error', (cause: NodeJS.ErrnoException) => {
      const failure = { code: 'BACKUP_AGE', what: messageOf(cause), next: `run 'make setup'`, cause };
      reject(cause.code === 'ENOENT' ? commandMissing('age', cause) : new BootwaveError(failure));
    });
    child.on('close', (code) => {
      // Its advice to report a bug is not for our readers.
      const lines = words()
        .split('\n')
        .filter((line) => line.startsWith('age: error: '));
      resolve({ code, words: lines.map((line) => line.slice('age: error: '.length)).join('; ') });
    });
  });
}
