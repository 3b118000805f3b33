import { mkdir, open, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { syncFolder } from '../../../base/files.ts';
import type { DataPaths } from '../../../base/paths.ts';
import { type Entry, readEntry } from './entry.ts';

/** Beside the folders and not in one: a restore of `redis/` from a backup leaves it alone. */
export const journalFile = (paths: DataPaths): string => join(paths.root, 'bans.log');

const NEWLINE = 0x0a;
/** A line that says: since then only what is sealed is taken from Redis. Versions before skip it as torn. */
const SEALED = '{"kind":"sealed"}';

/**
 * This machine's own copy of the log of decisions: one entry a line, appended and never rewritten. Several processes may
 * append to it; a repeated entry counts once.
 */
export class DecisionJournal {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  /**
   * @returns `torn`: how many lines are no entries, e.g. after a power cut; `older`: a version that knew no seals wrote it,
   * and none that does has read it
   */
  async read(): Promise<{ entries: Entry[]; torn: number; older: boolean }> {
    const text = await readFile(this.path, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return '';
      throw error;
    });
    const written = text.split('\n').filter((line) => line !== '');
    const lines = written.filter((line) => line !== SEALED);
    const entries = lines.map(readEntry).filter((entry) => entry !== null);
    const older = entries.length > 0 && lines.length === written.length;
    return { entries, torn: lines.length - entries.length, older };
  }

  /** From now on only what is sealed is taken from Redis. */
  markSealed(): Promise<void> {
    return this.#append([SEALED]);
  }

  /** Durable when it resolves. */
  append(entries: readonly Entry[]): Promise<void> {
    return this.#append(entries.map(({ text }) => text));
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
