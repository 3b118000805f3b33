/**
 * Grants: that root on one node runs one command in one instance, once and soon. The signer makes one of what a person has signed
 * with the key of their certificate (orchestrator/signer/grant.ts); whoever carries it can keep it back and nothing else.
 */
// The mini build, because the bundle of root's program holds this file.
import * as z from 'zod/mini';
import { BootwaveError } from '../base/error.ts';
import { sha256Hex } from '../formats/digest.ts';
import {
  type Envelope,
  type EnvelopeFault,
  type EnvelopeKind,
  envelopeOf,
  issueOf,
  type OrderPublicKeys,
  openEnvelope,
  payloadJson,
} from './envelope.ts';
import { line } from './line.ts';
import { nodeIdSchema } from './order.ts';
import { instanceNameSchema } from './service/name.ts';

export const GRANT_FORMAT = 1;

export const GRANT_LIMITS = {
  /** Words of a command, and characters of all of them. */
  words: 64,
  characters: 8192,
  /** Bytes of the payload: each character may take six of them. */
  payloadBytes: 64 * 1024,
  /** Milliseconds that a grant lives. */
  life: 60_000,
  /** Milliseconds by which the clocks of signer and node may differ: one that is further off is set (CLOCK_OFF). */
  skew: 120_000,
} as const;

/** As exec(3) takes it. */
export const commandSchema = z
  .array(
    z.string().check(
      z.regex(/^[^\0]*$/, { error: 'holds a NUL' }),
      z.refine((word) => word.isWellFormed()),
    ),
  )
  .check(
    z.minLength(1),
    z.maxLength(GRANT_LIMITS.words),
    z.refine((words) => words[0] !== '', { error: 'has no program' }),
    z.refine((words) => words.reduce((sum, { length }) => sum + length, 0) <= GRANT_LIMITS.characters, {
      error: `is longer than ${GRANT_LIMITS.characters} characters`,
    }),
  );

const instant = z.int().check(z.gte(0));

const grantSchema = z.strictObject({
  format: z.literal(GRANT_FORMAT),
  node: nodeIdSchema,
  instance: instanceNameSchema,
  command: commandSchema,
  /** Who asked, for the journal of the node. */
  by: line(128),
  /** SHA-256 of what they signed, which says when: of one signature there is one grant. */
  nonce: sha256Hex,
  issuedAt: instant,
  expires: instant,
});
export type Grant = z.infer<typeof grantSchema>;

const DOMAIN = Buffer.from('bootwave grant v1\0', 'utf8');

export type GrantCode = `GRANT_${EnvelopeFault | 'WRONG_NODE' | 'LIFE' | 'TIME'}`;

const KIND: EnvelopeKind = {
  ...{ noun: 'grant', domain: DOMAIN, most: GRANT_LIMITS.payloadBytes },
  refusal: (fault, what) => refusal(`GRANT_${fault}`, what),
};

/** @param sign Ed25519, by the key of that id */
export async function makeGrant(
  grant: Grant,
  keyId: string,
  sign: (bytes: Buffer) => Buffer | Promise<Buffer>,
): Promise<Envelope> {
  const payload = Buffer.from(JSON.stringify(grantSchema.parse(grant)), 'utf8');
  return envelopeOf(payload, keyId, await sign(Buffer.concat([DOMAIN, payload])));
}

/**
 * Verifies a grant as its node must. Whether it was used before is not seen here.
 * @param now milliseconds since the epoch
 * @throws BootwaveError with a `GrantCode`; nothing else, whatever the input is
 */
export function verifyGrant(
  envelope: unknown,
  keys: OrderPublicKeys,
  { nodeId, now }: { nodeId: string; now: number },
): Grant {
  const payload = openEnvelope(envelope, keys, KIND);
  const parsed = grantSchema.safeParse(payloadJson(payload, KIND));
  if (!parsed.success) throw refusal('GRANT_MALFORMED', `the grant is malformed: ${issueOf(parsed.error)}`);
  const { node, issuedAt, expires } = parsed.data;
  if (node !== nodeId) throw refusal('GRANT_WRONG_NODE', `the grant is for ${node}; this is ${nodeId}`);
  if (expires <= issuedAt || expires - issuedAt > GRANT_LIMITS.life)
    throw refusal('GRANT_LIFE', 'the grant lives longer than any may');
  if (issuedAt > now + GRANT_LIMITS.skew || expires <= now - GRANT_LIMITS.skew)
    throw refusal(
      'GRANT_TIME',
      'the grant is of another time than the clock of this node says',
      'ask again; compare the clocks of server and node',
    );
  return parsed.data;
}

function refusal(code: GrantCode, what: string, next = 'ask again'): BootwaveError {
  return new BootwaveError({ code, what, unchanged: 'nothing was run', next });
}
