import { join } from 'node:path';
import { z } from 'zod';
import { appendLine } from '../../../base/append-line.ts';
import { AppendedLines } from '../../../base/appended-lines.ts';
import type { DataPaths } from '../../../base/paths.ts';
import { SHA256_HEX } from '../../../formats/digest.ts';
import { GENESIS } from './chain.ts';

/**
 * One line of the seal file: up to here the history was whole at that time. The chain alone cannot show that its end
 * was cut off, or that all of it was rewritten by somebody who can write to Redis; this file is elsewhere and is only
 * ever appended to, so it can carry the append-only attribute (`chattr +a`).
 */
const sealSchema = z.object({
  seq: z.number().int().nonnegative(),
  hash: z.string().regex(SHA256_HEX),
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
const NOTHING: Sealed = { base: START, seals: [], unreadable: null };

/** There is one for each minute in which the history grew: years of them are too many for the arguments of one call. */
export const newestOf = <T extends { seq: number }>(base: T, seals: readonly T[]): T =>
  seals.reduce((newest, seal) => (seal.seq > newest.seq ? seal : newest), base);

/** Seals that are kept of those that were read: each stands for all before it, so older ones only say more exactly where a fault is. */
const KEPT = 10_000;

export class SealFile {
  readonly path: string;
  /** Folder of the files with entries that are no longer in Redis. */
  readonly archive: string;
  readonly #file: AppendedLines;
  #sealed = NOTHING;

  constructor({ root }: DataPaths) {
    this.path = join(root, 'audit', 'seals.jsonl');
    this.archive = join(root, 'audit', 'archive');
    this.#file = new AppendedLines(this.path);
  }

  /** It is asked every minute, and the file grows for years. */
  async read(): Promise<Sealed> {
    await this.#file.read((lines, isWhole) => {
      this.#sealed = continued(isWhole ? NOTHING : this.#sealed, lines);
    });
    return this.#sealed;
  }

  async append(seal: Seal): Promise<void> {
    await appendLine(this.path, JSON.stringify(seal));
  }
}

function continued(before: Sealed, lines: readonly { number: number; line: string }[]): Sealed {
  let { base, unreadable } = before;
  const seals = [...before.seals];
  for (const { number, line } of lines) {
    const seal = sealOf(line);
    if (seal === null) unreadable ??= number;
    else if (seal.accepted === undefined) seals.push(seal);
    else {
      base = seal;
      seals.length = 0;
    }
  }
  const older = seals.splice(0, Math.max(0, seals.length - KEPT));
  // Whatever the order of the lines: nothing that was sealed is forgotten.
  const newest = newestOf(base, older);
  if (newest.seq > newestOf(base, seals).seq) seals.unshift(newest);
  return { base, seals, unreadable };
}

function sealOf(line: string): Seal | null {
  try {
    return sealSchema.parse(JSON.parse(line));
  } catch {
    return null;
  }
}
