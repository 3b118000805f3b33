/**
 * What was signed: the highest epoch of every node with the one content signed for it, in a file that only grows. It is
 * the signer's own memory, so that no restored or rewritten database leads to two contents of one epoch.
 */
import { type FileHandle, open, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { z } from 'zod';
import { BootwaveError, messageOf } from '../../base/error.ts';
import { syncFolder, writeFileAtomic } from '../../base/files.ts';
import { type Rescue, type Restraint, rescueSchema } from '../../protocol/order.ts';
import type { Reservation } from '../../protocol/reservation.ts';
import { type Served, ServedSets } from './served-sets.ts';

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
  /** Number of the line that says what services it runs; absent: none. */
  services: z.number().optional(),
  /** Those that the order carries; absent: none. */
  restraints: z.custom<Restraint[]>((value) => Array.isArray(value)).optional(),
  reservations: z.custom<Reservation[]>((value) => Array.isArray(value)).optional(),
  rescue: z.custom<Rescue>((value) => rescueSchema.safeParse(value).success).optional(),
});
export type Signed = Omit<z.infer<typeof signedSchema>, 'services'> & {
  /** Absent: none, and none was taken from it by a rollout that is under way. */
  served?: Served | undefined;
};

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
  readonly #sets: ServedSets;
  readonly #wipes: Signed[] = [];
  /** When nodes were given their first order, since this file was opened; no longer than an hour ago. */
  readonly #firsts: number[] = [];
  #waiting: string[] = [];
  #next: Promise<void> | null = null;
  #written: Promise<void> = Promise.resolve();

  private constructor(path: string, file: FileHandle, sets: ServedSets) {
    this.#path = path;
    this.#file = file;
    this.#sets = sets;
  }

  /** For one process at a time. @throws BootwaveError `SIGNER_LEDGER` */
  static async open(path: string, now: number, slack = SLACK): Promise<Ledger> {
    const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return '';
      throw broken(path, error);
    });
    // What follows the last line end was never acknowledged.
    const lines = text.split('\n').slice(0, -1);
    const sets = new ServedSets();
    const signed = lines.flatMap((line, i) => parse(line, sets, path, i) ?? []);
    const last = new Map<string, Signed>();
    for (const one of signed) if (one.epoch >= (last.get(one.node)?.epoch ?? 0)) last.set(one.node, one);
    const isNeeded = (one: Signed) =>
      last.get(one.node) === one || (one.wipe !== null && one.at > now - KEEP_WIPES);
    const needed = signed.filter(isNeeded);
    const isRewritten = lines.length > needed.length + slack || !text.endsWith('\n');
    const kept = isRewritten ? new ServedSets() : sets;
    if (isRewritten) await writeFileAtomic(path, needed.map((one) => written(one, kept).text).join(''));
    const ledger = new Ledger(path, await open(path, 'a', 0o600), kept);
    await syncFolder(dirname(path));
    for (const one of needed) ledger.#remember(one);
    return ledger;
  }

  /** The newest of a node. */
  of(node: string): Signed | null {
    return this.#last.get(node) ?? null;
  }

  /** The newest of each node. */
  get all(): Iterable<Signed> {
    return this.#last.values();
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
    return this.learn(one);
  }

  /** As `append`, for what another server has signed: whoever got their first order there is not counted here. */
  learn(one: Signed): Promise<void> {
    const { text, entry } = written(one, this.#sets);
    this.#remember(entry);
    this.#waiting.push(text);
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

/** Its line, with what comes before it; `entry` is it, with one object for all that run the same. */
function written(one: Signed, sets: ServedSets): { text: string; entry: Signed } {
  const { served, ...rest } = one;
  if (served === undefined) return { text: `${JSON.stringify(rest)}\n`, entry: one };
  const { set, line, served: known } = sets.write(served);
  return {
    text: `${line}${JSON.stringify({ ...rest, services: set })}\n`,
    entry: { ...rest, served: known },
  };
}

/** @returns null: it says what nodes run, and is in `sets` now */
function parse(line: string, sets: ServedSets, path: string, index: number): Signed | null {
  try {
    const value: unknown = JSON.parse(line);
    if (sets.read(value)) return null;
    const { services, ...signed } = signedSchema.parse(value);
    if (services === undefined) return signed;
    const served = sets.of(services);
    if (served === undefined) throw new Error(`the line of the services ${services} is missing`);
    return { ...signed, served };
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
