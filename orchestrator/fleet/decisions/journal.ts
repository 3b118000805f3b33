import { mkdir, open } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { BootwaveError, messageOf } from '../../../base/error.ts';
import { syncFolder } from '../../../base/files.ts';
import type { DataPaths } from '../../../base/paths.ts';
import type { Entry } from './entry.ts';
import { SEALED } from './kept.ts';
import type { Tip } from './log.ts';
import { type DecisionsOnDisk, decisionsOnDisk } from './on-disk.ts';
import { Room } from './room.ts';

/** Beside the folders and not in one: a restore of `redis/` from a backup leaves it alone. */
export const journalFile = (paths: DataPaths): string => join(paths.root, 'bans.log');

const NEWLINE = 0x0a;

/**
 * This machine's own copy of the log of decisions: one entry a line, appended and never rewritten. Several processes may
 * append to it; a repeated entry counts once.
 */
export class DecisionJournal {
  readonly path: string;
  readonly #disk: DecisionsOnDisk;
  readonly #room: Room;

  /** @param disk how it is read: shared with whoever else in this process asks for the same file */
  constructor(path: string, disk = decisionsOnDisk(path)) {
    this.path = path;
    this.#disk = disk;
    this.#room = new Room(path);
  }

  /**
   * What still counts in it (`Kept`).
   * @returns `torn`: how many lines are no entries, e.g. after a power cut; `older`: a version that knew no seals wrote it,
   * and none that does has read it; `tip`, `unused`: as of `DecisionsOnDisk`
   */
  async read(): Promise<{
    entries: Entry[];
    torn: number;
    older: boolean;
    tip: Tip | null;
    unused: string | null;
  }> {
    const { entries, older } = await this.#disk.current();
    const { torn, tip, unused } = this.#disk;
    return { entries, torn, older, tip, unused };
  }

  /** How many lines a start reads that are in no snapshot. @throws the error of the disk */
  async sinceSnapshot(): Promise<number> {
    await this.#disk.current();
    return this.#disk.since;
  }

  /**
   * Whole or not at all, and never needed.
   * @param tip all of the log in Redis up to here was appended, or counts no more @throws the error of the disk
   */
  snapshot(tip: Tip | null): Promise<void> {
    return this.#disk.snapshot(tip);
  }

  /** From now on only what is sealed is taken from Redis. */
  markSealed(): Promise<void> {
    return this.#append([SEALED]);
  }

  /** @param bytes that are about to be appended @throws BootwaveError `DECISIONS_DISK` */
  room(bytes: number): Promise<void> {
    return this.#room.take(bytes);
  }

  /**
   * Durable when it resolves.
   * @throws BootwaveError `DECISIONS_UNWRITTEN`: the disk refuses; who calls has decided already, and appends it later
   */
  async append(entries: readonly Entry[]): Promise<void> {
    const lines = entries.map(({ text }) => text);
    try {
      await this.#append(lines).catch(async (error: unknown) => {
        if (!isFull(error) || !(await this.#room.give())) throw error;
        await this.#append(lines);
      });
    } catch (cause) {
      throw new BootwaveError({
        code: 'DECISIONS_UNWRITTEN',
        what: `it was decided and is in force, and this server cannot write it to its disk: ${messageOf(cause)}`,
        next: 'look at the disk of the data directory; the server writes it as soon as it can, and must not be ended before',
        cause,
      });
    }
  }

  async #append(lines: readonly string[]): Promise<void> {
    if (lines.length === 0) return;
    await mkdir(dirname(this.path), { recursive: true });
    const handle = await open(this.path, 'a+', 0o600);
    try {
      const { size } = await handle.stat();
      const last = Buffer.alloc(1, NEWLINE);
      if (size > 0) await handle.read(last, 0, 1, size - 1);
      // A torn line is closed first, so that it damages only itself.
      const start = last[0] === NEWLINE ? '' : '\n';
      // A journal that begins now was never without seals.
      const all = size === 0 && lines[0] !== SEALED ? [SEALED, ...lines] : lines;
      await handle.appendFile(start + all.map((line) => `${line}\n`).join(''));
      await handle.sync();
      if (size === 0) await syncFolder(dirname(this.path));
    } finally {
      await handle.close();
    }
  }
}

function isFull(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ENOSPC' || code === 'EDQUOT';
}
