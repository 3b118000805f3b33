import { hash } from 'node:crypto';
import { z } from 'zod';
import { AUTHORITIES } from '../../../keys/layout.ts';
import { voteSchema } from '../../../keys/vote.ts';
import { heldAsSchema } from './held-as.ts';
import { placeSchema } from './place.ts';

const common = {
  /** Milliseconds since the epoch, by the clock of the acting process. */
  at: z.number(),
  actor: z.string(),
  reason: z.string(),
};

const banSchema = z.object({
  kind: z.literal('ban'),
  ...common,
  /** The name of the node then; null: no record was known. */
  name: z.string().nullable(),
  /** Record ids. `tpm-<digest>` is the endorsement key itself: every machine with that TPM is banned. */
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
  /** What two people signed (orchestrator/operators/request.ts), and their signatures. */
  request: z.string(),
  ask: voteSchema,
  approve: voteSchema,
});

/** The certificate of an operator was taken back; the register says so too, but may come from a backup. */
const operatorSchema = z.object({
  kind: z.literal('operator'),
  ...common,
  name: z.string(),
  /** Lower-case hex. */
  serial: z.string(),
});

/** A request was denied, or a break-glass ended: its record in Redis may be put back to what it was. */
const denialSchema = z.object({
  kind: z.literal('denial'),
  ...common,
  /** Id of the request (orchestrator/operators/request.ts). */
  request: z.string(),
});

export const AUTHORITY_STEPS = ['prepare', 'activate', 'taint', 'revoke'] as const;
export type AuthorityStep = (typeof AUTHORITY_STEPS)[number];

/** One step in the life of an issuing CA. */
const authoritySchema = z.object({
  kind: z.literal('authority'),
  ...common,
  step: z.enum(AUTHORITY_STEPS),
  ca: z.enum(AUTHORITIES),
  /** Id of the CA (keys/generations.ts). */
  authority: z.string(),
});

/** A node was let in, put out or moved, or something else was decided about its place. */
const membershipSchema = z.object({
  kind: z.literal('membership'),
  ...common,
  /** Record id. */
  node: z.string(),
  /** Of several entries about one node the one with the highest number counts. From 1. */
  number: z.int().min(1),
  /** Null: it is no member. */
  place: placeSchema.nullable(),
  /** What it is held against; absent: a version before has let it in. */
  as: heldAsSchema.optional(),
});

/** A record that is a decision as a whole: of a site, an expectation, the firmware of a model. */
const recordSchema = z.object({
  kind: z.literal('record'),
  ...common,
  /** Its key in Redis. */
  key: z.string(),
  /** Of several entries about one record the one with the highest epoch counts. */
  epoch: z.int().min(1),
  /** The record, JSON. */
  body: z.string(),
});

/** From here on Redis is believed only what was decided (decisions/decisions.ts). */
const confirmedSchema = z.object({ kind: z.literal('confirmed'), ...common });

const entrySchema = z.discriminatedUnion('kind', [
  banSchema,
  liftSchema,
  operatorSchema,
  authoritySchema,
  denialSchema,
  membershipSchema,
  recordSchema,
  confirmedSchema,
]);

type Sealed = {
  /** The beginning of the SHA-256 of `text`: an entry cannot be replaced by another under its own name. */
  id: string;
  /** JSON, byte for byte as it is kept everywhere. */
  text: string;
};
export type Ban = z.infer<typeof banSchema> & Sealed;
export type Lift = z.infer<typeof liftSchema> & Sealed;
export type OperatorEntry = z.infer<typeof operatorSchema> & Sealed;
export type AuthorityEntry = z.infer<typeof authoritySchema> & Sealed;
export type Denial = z.infer<typeof denialSchema> & Sealed;
export type Membership = z.infer<typeof membershipSchema> & Sealed;
export type Decided = z.infer<typeof recordSchema> & Sealed;
export type Confirmed = z.infer<typeof confirmedSchema> & Sealed;
/**
 * One line of the log of decisions, and of everything else that a restored backup must not undo. The log only grows: nothing
 * in it is changed or removed.
 */
export type Entry = Ban | Lift | OperatorEntry | AuthorityEntry | Denial | Membership | Decided | Confirmed;

/** Hex digits of an id: 64 bits, so that no second text can be made with a known id. */
const ID_DIGITS = 16;

export const entryId = (text: string): string => hash('sha256', text).slice(0, ID_DIGITS);

function seal<T>(content: T): T & Sealed {
  const text = JSON.stringify(content);
  return { ...content, id: entryId(text), text };
}

export const sealBan = (ban: z.infer<typeof banSchema>): Ban => seal(ban);
export const sealLift = (lift: z.infer<typeof liftSchema>): Lift => seal(lift);
export const sealOperator = (entry: z.infer<typeof operatorSchema>): OperatorEntry => seal(entry);
export const sealDenial = (entry: z.infer<typeof denialSchema>): Denial => seal(entry);
export const sealMembership = (entry: z.infer<typeof membershipSchema>): Membership => seal(entry);
export const sealDecided = (entry: z.infer<typeof recordSchema>): Decided => seal(entry);
export const sealConfirmed = (entry: z.infer<typeof confirmedSchema>): Confirmed => seal(entry);
export const sealAuthority = (entry: z.infer<typeof authoritySchema>): AuthorityEntry => seal(entry);

/** @returns null when it is not an entry, such as a line cut off by a power failure */
export function readEntry(text: string): Entry | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  const parsed = entrySchema.safeParse(value);
  return parsed.success ? { ...parsed.data, id: entryId(text), text } : null;
}
