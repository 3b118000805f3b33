/**
 * What was signed: the highest epoch of every node with the one content signed for it, in a file that only grows. It is
 * the signer's own memory, so that no restored or rewritten database leads to two contents of one epoch.
 */
import { type FileHandle, open, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { z } from 'zod';
import { BootwaveError, messageOf } from '../../base/error.ts';
import { syncFolder, writeFileAtomic } from '../../base/files.ts';

const signedSchema = z.object({
  node: z.string(),
  epoch: z.number(),
  /** SHA-256 of the payload. */
  digest: z.string(),
  at: z.number(),
  /** Version of its image; null: none was named. */
  image: z.string().nullable(),
  /** The release floor that the order carries. */
  floor: z.string().nullable(),
  /** Id of the consent on which its wipe depends. */
  wipe: z.string().nullable(),
  /**
   * The image that the node was moved to last, which this order need not name, when that was, and whether it was as new
   * hardware gets one, and by no rollout; absent from entries of the versions before.
   */
  moved: z.object({ version: z.string().nullable(), since: z.number(), fresh: z.boolean() }).optional(),
  /** Its configuration; absent from entries of the versions before. */
  configured: z
    .object({
      /** SHA-256 of the document; null: none. */
      now: z.string().nullable(),
      /** What it had before, and the rollouts that may take it back there; absent: that is not known. */
      back: z.string().nullable().optional(),
      by: z.array(z.string()).readonly().optional(),
    })
    .optional(),
});
export type Signed = z.infer<typeof signedSchema>;

/** Milliseconds: longer than any consent to wipe is valid. */
const KEEP_WIPES = 30 * 24 * 3600_000;
/** Milliseconds. */
const FRESH = 3600_000;
/** Lines that may be obsolete before the file is rewritten, at a start. */
const SLACK = 10_000;

export class Ledger {
  readonly #path: string;
  readonly #file: FileHandle;
  readonly #last = new Map<string, Signed>();
  readonly #wipes: Signed[] = [];
  /** When nodes were given their first order, since this file was opened; no longer than an hour ago. */
  readonly #firsts: number[] = [];
  #waiting: string[] = [];
  #next: Promise<void> | null = null;
  #written: Promise<void> = Promise.resolve();

  private constructor(path: string, file: FileHandle) {
    this.#path = path;
    this.#file = file;
  }

  /** For one process at a time. @throws BootwaveError `SIGNER_LEDGER` */
  static async open(path: string, now: number, slack = SLACK): Promise<Ledger> {
    const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return '';
      throw broken(path, error);
    });
    // What follows the last line end was never acknowledged.
    const lines = text.split('\n').slice(0, -1);
    const signed = lines.map((line, i) => parse(line, path, i));
    const last = new Map<string, Signed>();
    for (const one of signed) if (one.epoch >= (last.get(one.node)?.epoch ?? 0)) last.set(one.node, one);
    const isNeeded = (one: Signed) =>
      last.get(one.node) === one || (one.wipe !== null && one.at > now - KEEP_WIPES);
    const needed = signed.filter(isNeeded);
    if (signed.length > needed.length + slack || !text.endsWith('\n'))
      await writeFileAtomic(path, needed.map((one) => `${JSON.stringify(one)}\n`).join(''));
    const ledger = new Ledger(path, await open(path, 'a', 0o600));
    await syncFolder(dirname(path));
    for (const one of needed) ledger.#remember(one);
    return ledger;
  }

  /** The newest of a node. */
  of(node: string): Signed | null {
    return this.#last.get(node) ?? null;
  }

  /** Nodes that ever got an order, and those that got their first one within an hour. */
  nodes(now: number): { all: number; fresh: number } {
    while (this.#firsts.length > 0 && this.#firsts[0]! <= now - FRESH) this.#firsts.shift();
    return { all: this.#last.size, fresh: this.#firsts.length };
  }

  /** Orders to wipe that are newer than a month. */
  get wipes(): readonly Signed[] {
    return this.#wipes;
  }

  /**
   * Remembered at once, so that nothing else is signed for that epoch; entries that wait meanwhile are written to the
   * disk together.
   * @returns when it is on the disk @throws BootwaveError `SIGNER_LEDGER`, from then on for good
   */
  append(one: Signed): Promise<void> {
    if (!this.#last.has(one.node)) this.#firsts.push(one.at);
    this.#remember(one);
    this.#waiting.push(`${JSON.stringify(one)}\n`);
    this.#next ??= this.#queue();
    return this.#next;
  }

  /** When all that was appended is on the disk. */
  settled(): Promise<void> {
    return this.#written;
  }

  async close(): Promise<void> {
    await this.#written.catch(() => {});
    await this.#file.close();
  }

  #queue(): Promise<void> {
    const written = this.#written.then(async () => {
      const lines = this.#waiting.join('');
      this.#waiting = [];
      this.#next = null;
      try {
        await this.#file.appendFile(lines);
        await this.#file.datasync();
      } catch (cause) {
        throw broken(this.#path, cause);
      }
    });
    this.#written = written;
    written.catch(() => {});
    return written;
  }

  #remember(one: Signed): void {
    this.#last.set(one.node, one);
    if (one.wipe === null) return;
    this.#wipes.push(one);
    while ((this.#wipes[0]?.at ?? one.at) <= one.at - KEEP_WIPES) this.#wipes.shift();
  }
}

function parse(line: string, path: string, index: number): Signed {
  try {
    return signedSchema.parse(JSON.parse(line));
  } catch (cause) {
    throw broken(`${path}, entry ${index + 1},`, cause);
  }
}

function broken(what: string, cause: unknown): BootwaveError {
  return new BootwaveError({
    code: 'SIGNER_LEDGER',
    what: `the log of signed orders ${what} cannot be read or written: ${messageOf(cause)}`,
    unchanged: 'nothing was signed',
    next: 'look at the disk; a damaged file is restored from the newest backup of the data directory',
    cause,
  });
}
