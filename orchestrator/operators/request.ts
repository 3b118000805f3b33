/** What one person asks and another grants, as a text that both sign. */
import { createHash, randomBytes } from 'node:crypto';
import { z } from 'zod';
import { voteSchema } from '../../keys/vote.ts';
import { entryId } from '../fleet/bans/entry.ts';

export const REQUEST_KINDS = ['lift', 'break-glass'] as const;
export type RequestKind = (typeof REQUEST_KINDS)[number];

const HOUR = 3600_000;

/** Milliseconds. */
export const REQUEST_TIMES = {
  /** In which a second person has to approve. */
  open: 24 * HOUR,
  /** How long a break-glass lasts from its approval. */
  grant: HOUR,
  grantMost: 4 * HOUR,
} as const;

const wishSchema = z.object({
  kind: z.enum(REQUEST_KINDS),
  /** Id of the ban; of a break-glass, serial of the certificate that it is for. */
  about: z.string(),
  /** Of a lift, the ban word for word: whoever signs has read it. Absent in requests of before. */
  what: z.string().max(16_384).optional(),
  /** Milliseconds that a break-glass lasts; 0 for what is done at once. */
  lasts: z.number().min(0).max(REQUEST_TIMES.grantMost),
  reason: z.string(),
  /** `operator:<name>`. */
  actor: z.string(),
  /** Milliseconds since the epoch. */
  at: z.number(),
  /** From here on it can no longer be approved. */
  expires: z.number(),
  /** Random: no two requests have one text. */
  nonce: z.string(),
});
export type Wish = z.infer<typeof wishSchema>;

export const requestStates = ['pending', 'approved', 'denied'] as const;

/** As it is kept: the text as it was signed, and what was said about it. */
export const requestSchema = z.object({
  text: z.string(),
  state: z.enum(requestStates),
  epoch: z.int(),
  ask: voteSchema,
  approve: voteSchema.nullable(),
  /** Who ended it, when and why; null while it is pending. */
  closed: z.object({ actor: z.string(), at: z.number(), reason: z.string() }).nullable(),
});
export type RequestRecord = z.infer<typeof requestSchema>;

/** Hex digits of an id: 128 bits, so that nobody makes two texts with one id and has the harmless one read. */
export const ID_DIGITS = 32;

export const requestId = (text: string): string =>
  createHash('sha256').update(text).digest('hex').slice(0, ID_DIGITS);

export function makeWish(wish: Omit<Wish, 'expires' | 'nonce'>): string {
  const nonce = randomBytes(16).toString('hex');
  return JSON.stringify(wishSchema.parse({ ...wish, expires: wish.at + REQUEST_TIMES.open, nonce }));
}

/** Whether the text says itself, in full, what it is about. */
export function isNamed({ kind, about, what }: Pick<Wish, 'kind' | 'about' | 'what'>): boolean {
  return kind !== 'lift' || (what !== undefined && entryId(what) === about);
}

/** @returns null for what is no request */
export function readWish(text: string): Wish | null {
  try {
    return wishSchema.parse(JSON.parse(text));
  } catch {
    return null;
  }
}

/** What became of a request as of now. */
export type Standing = 'pending' | 'expired' | 'approved' | 'denied' | 'in force' | 'over';

export function standingOf({ state, approve }: RequestRecord, wish: Wish, now: number): Standing {
  if (state === 'pending') return now < wish.expires ? 'pending' : 'expired';
  if (state === 'denied' || wish.kind !== 'break-glass') return state;
  return approve !== null && now < approve.at + wish.lasts ? 'in force' : 'over';
}
