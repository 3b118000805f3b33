import { createHash } from 'node:crypto';
import { z } from 'zod';

const common = {
  /** Milliseconds since the epoch, by the clock of whoever acted. */
  at: z.number(),
  actor: z.string(),
  reason: z.string(),
};

const banSchema = z.object({
  kind: z.literal('ban'),
  ...common,
  /** What the node was called then; null: no record was known. */
  name: z.string().nullable(),
  /** Record ids. `tpm-<digest>` is the endorsement key itself: whatever comes with that TPM is meant. */
  nodes: z.array(z.string()),
  /** Certificates, lower-case hex. */
  serials: z.array(z.string()),
  /** SHA-256 of SubjectPublicKeyInfos, hex: keys that no certificate may name again. */
  keys: z.array(z.string()),
});

const liftSchema = z.object({
  kind: z.literal('lift'),
  ...common,
  /** Id of the ban. */
  ban: z.string(),
});

const entrySchema = z.discriminatedUnion('kind', [banSchema, liftSchema]);

type Sealed = {
  /** The beginning of the SHA-256 of `text`: an entry cannot be replaced by another under its own name. */
  id: string;
  /** JSON, byte for byte as it is kept everywhere. */
  text: string;
};
export type Ban = z.infer<typeof banSchema> & Sealed;
export type Lift = z.infer<typeof liftSchema> & Sealed;
/** One line of the log of bans. The log only ever grows: nothing in it is changed or taken out. */
export type Entry = Ban | Lift;

/** Hex digits of an id: 64 bits, against a second text with the id of a known one. */
const ID_DIGITS = 16;

const idOf = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, ID_DIGITS);

export function sealBan(ban: z.infer<typeof banSchema>): Ban {
  const text = JSON.stringify(ban);
  return { ...ban, id: idOf(text), text };
}

export function sealLift(lift: z.infer<typeof liftSchema>): Lift {
  const text = JSON.stringify(lift);
  return { ...lift, id: idOf(text), text };
}

/** @returns null for what is no entry, as the end of a line that a power cut tore */
export function readEntry(text: string): Entry | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  const parsed = entrySchema.safeParse(value);
  return parsed.success ? { ...parsed.data, id: idOf(text), text } : null;
}
