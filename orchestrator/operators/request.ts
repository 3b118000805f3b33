/** What one person asks and another approves, as a text that both sign: an operation and its input, in full. */
import { createHash, randomBytes } from 'node:crypto';
import { z } from 'zod';
import { type Vote, voteSchema } from '../../keys/vote.ts';
import { entryId } from '../fleet/decisions/entry.ts';

const HOUR = 3600_000;
const MINUTE = 60_000;

/** Milliseconds. */
export const REQUEST_TIMES = {
  /** Milliseconds within which a second person has to approve. */
  open: 24 * HOUR,
  /** How long a break-glass lasts from its approval. */
  grant: HOUR,
  grantMost: 4 * HOUR,
  /** Milliseconds by which the signer's clock may differ from ours. */
  skew: 5 * MINUTE,
} as const;

export const BREAK_GLASS = 'break-glass';
export const LIFT = 'ban lift';

const signed = {
  /** What the input means, word for word: for a lift, the ban. The signer has read it. */
  what: z.string().max(16_384).optional(),
  reason: z.string(),
  /** `operator:<name>`. */
  actor: z.string(),
  /** Milliseconds since the epoch. */
  at: z.number(),
  /** From here on it can no longer be approved. */
  expires: z.number(),
  /** Random: no two requests have the same text. */
  nonce: z.string(),
};

const wishSchema = z.object({
  /** Name of the operation. */
  operation: z.string(),
  /** Its input, every name in it replaced by what it meant then. */
  input: z.record(z.string(), z.unknown()),
  ...signed,
});
export type Wish = z.infer<typeof wishSchema>;

/** Requests from before they named operations. */
const oldSchema = z.object({
  kind: z.enum(['lift', 'break-glass']),
  /** Id of the ban; of a break-glass, serial of the certificate that it is for. */
  about: z.string(),
  /** Milliseconds that a break-glass lasts; 0 for an operation that is done at once. */
  lasts: z.number().min(0).max(REQUEST_TIMES.grantMost),
  ...signed,
});

const requestStates = ['pending', 'approved', 'denied'] as const;

/** As it is stored: the text as it was signed, and the votes about it. */
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

/** A signed text, and the certificate. */
export type Signed = { text: string; vote: Vote };

/** Hex digits of an id: 128 bits, so that nobody can make two texts with one id and show the harmless one. */
export const ID_DIGITS = 32;

export const requestId = (text: string): string =>
  createHash('sha256').update(text).digest('hex').slice(0, ID_DIGITS);

export function makeWish(wish: Omit<Wish, 'expires' | 'nonce'>): string {
  const nonce = randomBytes(16).toString('hex');
  return canonical(wishSchema.parse({ ...wish, expires: wish.at + REQUEST_TIMES.open, nonce }));
}

/** Whether the text itself contains, in full, what it is about. */
export function isNamed({ operation, input, what }: Pick<Wish, 'operation' | 'input' | 'what'>): boolean {
  return operation !== LIFT || (what !== undefined && entryId(what) === input.ban);
}

/** @returns null when it is not a request */
export function readWish(text: string): Wish | null {
  try {
    const json = JSON.parse(text);
    if (json?.kind === undefined) return wishSchema.parse(json);
    const { kind, about, lasts, ...rest } = oldSchema.parse(json);
    const { reason } = rest;
    return kind === 'lift'
      ? { ...rest, operation: LIFT, input: { ban: about, reason } }
      : { ...rest, operation: BREAK_GLASS, input: { minutes: lasts / MINUTE, reason, serial: about } };
  } catch {
    return null;
  }
}

/** JSON with sorted object keys: equal inputs are equal texts. */
export function canonical(value: unknown): string {
  return JSON.stringify(value, (_, part) =>
    typeof part === 'object' && part !== null && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  );
}

/** Milliseconds that a break-glass lasts; 0 for an operation that is done at once. */
export function lastsOf({ operation, input }: Wish): number {
  const minutes = operation === BREAK_GLASS && typeof input.minutes === 'number' ? input.minutes : 0;
  return Math.min(Math.max(minutes * MINUTE, 0), REQUEST_TIMES.grantMost);
}

/** The state of a request now. */
export type Standing = 'pending' | 'expired' | 'approved' | 'denied' | 'in force' | 'over';

export function standingOf({ state, approve }: RequestRecord, wish: Wish, now: number): Standing {
  if (state === 'pending') return now < wish.expires ? 'pending' : 'expired';
  if (state === 'denied' || wish.operation !== BREAK_GLASS) return state;
  return approve !== null && now < approve.at + lastsOf(wish) ? 'in force' : 'over';
}
