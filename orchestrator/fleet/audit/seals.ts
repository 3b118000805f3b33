import { join } from 'node:path';
import { z } from 'zod';
import { appendLine, readLines } from '../../../base/append-line.ts';
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

export class SealFile {
  readonly path: string;
  /** Folder of the files with entries that are no longer in Redis. */
  readonly archive: string;

  constructor({ root }: DataPaths) {
    this.path = join(root, 'audit', 'seals.jsonl');
    this.archive = join(root, 'audit', 'archive');
  }

  async read(): Promise<Sealed> {
    const lines = await readLines(this.path);
    const all: Seal[] = [];
    let unreadable: number | null = null;
    for (const { number, line } of lines) {
      const seal = sealOf(line);
      if (seal !== null) all.push(seal);
      else unreadable ??= number;
    }
    const from = all.findLastIndex((seal) => seal.accepted !== undefined);
    return { base: all[from] ?? START, seals: all.slice(from + 1), unreadable };
  }

  async append(seal: Seal): Promise<void> {
    await appendLine(this.path, JSON.stringify(seal));
  }
}

function sealOf(line: string): Seal | null {
  try {
    return sealSchema.parse(JSON.parse(line));
  } catch {
    return null;
  }
}
