/**
 * Space on the disk that nobody else gets: a file beside the log. What is decided stands in Redis a moment before it stands in the
 * log, so a disk that is full is seen before, and one that gets full in that moment has this much left.
 */
import { randomBytes } from 'node:crypto';
import { mkdir, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { BootwaveError, messageOf } from '../../../base/error.ts';
import { writeFileAtomic } from '../../../base/files.ts';

/** Bytes that are kept, and what a file system may take for itself beside the bytes of a file. */
const ROOM = 64 * 1024;
const SLACK = 8 * 1024;

export class Room {
  readonly #path: string;

  /** @param journal path of the log */
  constructor(journal: string) {
    this.#path = `${journal}.room`;
  }

  /** @param bytes that are about to be written @throws BootwaveError `DECISIONS_DISK`: there is no room for them */
  async take(bytes: number): Promise<void> {
    const wanted = Math.max(ROOM, bytes + SLACK);
    const there = await stat(this.#path).catch(() => null);
    if (there !== null && there.size >= wanted) return;
    try {
      await mkdir(dirname(this.#path), { recursive: true });
      // Of bytes that no file system makes smaller.
      await writeFileAtomic(this.#path, randomBytes(wanted));
    } catch (cause) {
      throw new BootwaveError({
        code: 'DECISIONS_DISK',
        what: `what is decided cannot be written to the disk: ${messageOf(cause)}`,
        unchanged: 'nothing was decided, and nothing was changed',
        next: 'make room on the disk of the data directory, then do it again',
        cause,
      });
    }
  }

  /** For what is decided already. @returns whether there was any */
  async give(): Promise<boolean> {
    return rm(this.#path).then(
      () => true,
      () => false,
    );
  }
}
