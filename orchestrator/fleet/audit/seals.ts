import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { acknowledged, appendLine } from '../../../base/append-line.ts';
import type { DataPaths } from '../../../base/paths.ts';
import { GENESIS } from './chain.ts';

/**
 * One line of the seal file: up to here the history was whole at that time. The chain alone cannot show that its end
 * was cut off, or that all of it was rewritten by somebody who can write to Redis; this file is elsewhere and is only
 * ever appended to, so it can carry the append-only attribute (`chattr +a`).
 */
export const sealSchema = z.object({
  seq: z.number().int().nonnegative(),
  hash: z.string().regex(/^[0-9a-f]{64}$/),
  /** Where the entry lies in the stream. */
  key: z.string(),
  /** Milliseconds since the epoch. */
  at: z.number(),
  /** Lines behind it that carry no tag of a server are forged (tags.ts). */
  tagged: z.literal(true).optional(),
  /** A person accepts that the loss before this place is known: the check begins here. */
  accepted: z.object({ by: z.string(), reason: z.string(), loss: z.string() }).optional(),
});
export type Seal = z.infer<typeof sealSchema>;

export type Sealed = {
  /** Where the check begins: the newest accepted loss, else the beginning of all. */
  base: Seal;
  /** What was sealed since. */
  seals: readonly Seal[];
  /** Number of the first line that cannot be parsed. */
  unreadable: number | null;
};

const START: Seal = { ...GENESIS, key: '0-0', at: 0 };

/** There is one for each minute in which the history grew: years of them are too many for the arguments of one call. */
export const newestOf = <T extends { seq: number }>(base: T, seals: readonly T[]): T =>
  seals.reduce((newest, seal) => (seal.seq > newest.seq ? seal : newest), base);

/** Bytes: more than a line. */
const END = 512;

/** Seals that are kept of those that were read: each stands for all before it, so older ones only say more exactly where a fault is. */
const KEPT = 10_000;

type Read = Sealed & {
  inode: number;
  /** Bytes and lines that were read: whole lines only. */
  bytes: number;
  lines: number;
  /** The end of what was read: a file that does not have it there was written anew. */
  end: Buffer;
};

export class SealFile {
  readonly path: string;
  /** Folder of the files with entries that are no longer in Redis. */
  readonly archive: string;
  #read: Read | null = null;

  constructor({ root }: DataPaths) {
    this.path = join(root, 'audit', 'seals.jsonl');
    this.archive = join(root, 'audit', 'archive');
  }

  /** What came since the last time is read, for it is asked every minute and the file grows for years. */
  async read(): Promise<Sealed> {
    const file = await open(this.path).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return null;
      throw error;
    });
    if (file === null) {
      this.#read = null;
      return { base: START, seals: [], unreadable: null };
    }
    try {
      const { ino, size } = await file.stat();
      const from = await isContinued(file, this.#read, ino);
      const start = from?.bytes ?? 0;
      const fresh = await bytesOf(file, start, Math.max(0, size - start));
      const whole = fresh.subarray(0, fresh.lastIndexOf(0x0a) + 1);
      const end = Buffer.concat([from?.end ?? Buffer.alloc(0), whole]).subarray(-END);
      const bytes = start + whole.length;
      this.#read = { inode: ino, bytes, end: Buffer.from(end), ...continued(from, whole.toString('utf8')) };
    } finally {
      await file.close();
    }
    const { base, seals, unreadable } = this.#read;
    return { base, seals, unreadable };
  }

  async append(seal: Seal): Promise<void> {
    await appendLine(this.path, JSON.stringify(seal));
  }
}

/** @returns null: another file was put in its place, or this one was written anew */
async function isContinued(file: FileHandle, before: Read | null, inode: number): Promise<Read | null> {
  if (before?.inode !== inode) return null;
  const { end, bytes } = before;
  return (await bytesOf(file, bytes - end.length, end.length)).equals(end) ? before : null;
}

async function bytesOf(file: FileHandle, start: number, length: number): Promise<Buffer> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, start);
  return buffer.subarray(0, bytesRead);
}

/** @param text whole lines behind what was read before */
function continued(before: Read | null, text: string): Sealed & { lines: number } {
  const lines = before?.lines ?? 0;
  const seals = [...(before?.seals ?? [])];
  let { base, unreadable }: Omit<Sealed, 'seals'> = before ?? { base: START, unreadable: null };
  for (const { number, line } of acknowledged(text)) {
    const seal = sealOf(line);
    if (seal === null) unreadable ??= lines + number;
    else if (seal.accepted === undefined) seals.push(seal);
    else {
      base = seal;
      seals.length = 0;
    }
  }
  const older = seals.splice(0, Math.max(0, seals.length - KEPT));
  // Whatever the order of the lines: nothing that was sealed is forgotten.
  const newest = newestOf(base, older);
  if (newest.seq > newestOf(base, seals).seq) seals.unshift(newest as Seal);
  return { base, seals, unreadable, lines: lines + text.split('\n').length - 1 };
}

function sealOf(line: string): Seal | null {
  try {
    return sealSchema.parse(JSON.parse(line));
  } catch {
    return null;
  }
}
