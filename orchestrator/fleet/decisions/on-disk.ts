/** The log on this machine's disk as it is read: the snapshot beside it, then what was appended since. */
import { createHash } from 'node:crypto';
import { open, readFile, stat } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { bytesOf, END, hasEnd } from '../../../base/appended-lines.ts';
import { removeAbandoned, writeFileAtomic } from '../../../base/files.ts';
import { Joined } from '../../../base/joined.ts';
import { readEntry } from './entry.ts';
import { Kept } from './kept.ts';
import type { Tip } from './log.ts';
import { readSnapshot, snapshotFile, snapshotText } from './snapshot.ts';

const NEWLINE = 0x0a;

/** Of the log: what was read of it, in whole lines. */
type Read = { bytes: number; digest: ReturnType<typeof createHash>; end: Buffer };

const nothing = (): Read => ({ bytes: 0, digest: createHash('sha256'), end: Buffer.alloc(0) });

export class DecisionsOnDisk {
  readonly #path: string;
  readonly #keeps: boolean;
  #kept = new Kept();
  #read = nothing();
  #seen = { inode: 0, size: 0, modified: 0 };
  #tip: Tip | null = null;
  #unused: string | null = null;
  /** How many lines were read that no snapshot has. */
  #since = 0;
  /** What stands behind the last line end. A whole line that waits for its end counts already, and is read again. */
  #rest = '';
  readonly #looks = new Joined(() => this.#look());

  /**
   * @param path of the journal
   * @param keeps what was read once counts, whatever somebody writes over it; only a shorter or another file is read anew
   */
  constructor(path: string, { keeps = false } = {}) {
    this.#path = path;
    this.#keeps = keeps;
  }

  /** With all that was written before this was called. @throws the error of the disk */
  current(): Promise<Kept> {
    return this.#looks.ask();
  }

  /** The end of the log in Redis up to which all of it is here; null: nobody knows. */
  get tip(): Tip | null {
    return this.#tip;
  }

  /** Why the snapshot was not used; null: it was, or there was no log. */
  get unused(): string | null {
    return this.#unused;
  }

  /** How many lines are no entries, e.g. after a power cut. */
  get torn(): number {
    return this.#kept.torn + (this.#rest !== '' && readEntry(this.#rest) === null ? 1 : 0);
  }

  /** How many lines of the log no snapshot has. */
  get since(): number {
    return this.#since;
  }

  /**
   * Writes a snapshot of what stands in the file now. It is there as a whole or not at all.
   * @param tip all of the log in Redis up to here is in the file @throws the error of the disk
   */
  async snapshot(tip: Tip | null): Promise<void> {
    const kept = await this.current();
    if (kept.older || this.#rest !== '') return;
    const { bytes, digest } = this.#read;
    // Also when it fails: the next attempt is when there is as much to gain again.
    this.#since = 0;
    const text = snapshotText(kept, { bytes, digest: digest.copy().digest('hex'), tip });
    const file = snapshotFile(this.#path);
    await removeAbandoned(dirname(file), basename(file));
    await writeFileAtomic(file, text);
  }

  async #look(): Promise<Kept> {
    const there = await stat(this.#path).catch(missing);
    if (there === null) {
      this.#begin();
      return this.#kept;
    }
    const { ino: inode, size, mtimeMs: modified } = there;
    const seen = this.#seen;
    if (inode === seen.inode && size === seen.size && modified === seen.modified) return this.#kept;
    const file = await open(this.#path);
    try {
      const isContinued =
        inode === seen.inode && size >= this.#read.bytes && (this.#keeps || (await hasEnd(file, this.#read)));
      const { bytes } = isContinued ? this.#read : nothing();
      const fresh = await bytesOf(file, bytes, Math.max(0, size - bytes));
      if (isContinued) this.#add(fresh);
      else await this.#whole(fresh);
      this.#seen = { inode, size, modified };
    } finally {
      await file.close();
    }
    return this.#kept;
  }

  #begin(kept = new Kept(), tip: Tip | null = null): void {
    this.#kept = kept;
    this.#read = nothing();
    this.#seen = { inode: 0, size: 0, modified: 0 };
    this.#tip = tip;
    this.#since = 0;
    this.#rest = '';
    this.#unused = null;
  }

  async #whole(log: Buffer): Promise<void> {
    const text = await readFile(snapshotFile(this.#path), 'utf8').catch(missing);
    const found = text === null ? 'there is none' : readSnapshot(text, log);
    if (typeof found === 'string') {
      this.#begin();
      this.#unused = found;
      this.#add(log);
      return;
    }
    this.#begin(found.kept, found.tip);
    this.#pass(log.subarray(0, found.bytes));
    this.#add(log.subarray(found.bytes));
  }

  #add(fresh: Buffer): void {
    const whole = fresh.subarray(0, fresh.lastIndexOf(NEWLINE) + 1);
    const lines = whole.toString('utf8').split('\n');
    for (const line of lines) this.#kept.add(line);
    this.#since += lines.length - 1;
    this.#pass(whole);
    this.#rest = fresh.subarray(whole.length).toString('utf8');
    if (readEntry(this.#rest) !== null) this.#kept.add(this.#rest);
  }

  #pass(bytes: Buffer): void {
    this.#read.digest.update(bytes);
    this.#read.bytes += bytes.length;
    this.#read.end = Buffer.from(Buffer.concat([this.#read.end, bytes.subarray(-END)]).subarray(-END));
  }
}

/** Of one process: who asks for the same log shares what was read. */
const shared = new Map<string, DecisionsOnDisk>();
/** Logs of other data directories that are remembered, as tests have them. */
const MOST = 8;

export function decisionsOnDisk(path: string): DecisionsOnDisk {
  const found = shared.get(path) ?? new DecisionsOnDisk(path);
  shared.delete(path);
  shared.set(path, found);
  for (const [oldest] of shared) if (shared.size > MOST) shared.delete(oldest);
  return found;
}

function missing(error: NodeJS.ErrnoException): null {
  if (error.code === 'ENOENT') return null;
  throw error;
}
