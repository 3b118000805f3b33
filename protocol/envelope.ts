/**
 * Data that the signer of a server signs for one node. The signature covers the payload's bytes as they are sent, so there is no
 * canonical form to disagree about. It is Ed25519 (RFC 8032) over a prefix that no other signature of the fleet begins with.
 */
import { type KeyObject, verify } from 'node:crypto';
// The mini build, because the agent's bundle holds this file.
import * as z from 'zod/mini';
import type { BootwaveError } from '../base/error.ts';
import { sha256Hex } from '../formats/digest.ts';

export type EnvelopeFault = 'OVERSIZED' | 'MALFORMED' | 'KEY_UNKNOWN' | 'SIGNATURE';

export type EnvelopeKind = {
  noun: string;
  /** Ends in a NUL, which JSON never holds: no payload can be read as part of the prefix. */
  domain: Buffer;
  /** Bytes of the payload. */
  most: number;
  refusal(fault: EnvelopeFault, what: string): BootwaveError;
};

/** By key id, which is the SHA-256 of the SubjectPublicKeyInfo; more than one while the fleet changes its key. */
export type OrderPublicKeys = ReadonlyMap<string, KeyObject>;

const envelopeSchema = z.strictObject({
  /** Base64 of the JSON text's bytes. */
  payload: z.string(),
  /** SHA-256 of the signer's SubjectPublicKeyInfo, hex. */
  keyId: sha256Hex,
  /** Base64 of the 64 bytes. */
  signature: z.string().check(z.maxLength(88)),
});
export type Envelope = z.infer<typeof envelopeSchema>;

/** Characters of so many bytes in base64. */
export const base64Characters = (bytes: number): number => Math.ceil(bytes / 3) * 4;

/** @param signature of the domain and the payload, by the key of that id */
export function envelopeOf(payload: Buffer, keyId: string, signature: Buffer): Envelope {
  return { payload: payload.toString('base64'), keyId, signature: signature.toString('base64') };
}

/** What somebody with such a key has signed. @throws what `kind.refusal` makes, and nothing else, whatever the input is */
export function openEnvelope(envelope: unknown, keys: OrderPublicKeys, kind: EnvelopeKind): Buffer {
  const { noun, domain, refusal } = kind;
  const text = (envelope as { payload?: unknown } | null | undefined)?.payload;
  if (typeof text === 'string' && text.length > base64Characters(kind.most))
    throw refusal('OVERSIZED', `the ${noun}'s payload takes ${text.length} characters of base64`);
  const parsed = envelopeSchema.safeParse(envelope);
  if (!parsed.success) throw refusal('MALFORMED', `not an envelope of the ${noun}: ${issueOf(parsed.error)}`);
  const payload = strictBase64(parsed.data.payload, 'payload', kind);
  const signature = strictBase64(parsed.data.signature, 'signature', kind);
  const { keyId } = parsed.data;
  const key = keys.get(keyId);
  if (key === undefined)
    throw refusal('KEY_UNKNOWN', `the ${noun} names the key ${keyId}, which this node does not know`);
  if (signature.length !== 64 || !verify(null, Buffer.concat([domain, payload]), key, signature))
    throw refusal('SIGNATURE', `the ${noun} is not signed by the key that it names`);
  return payload;
}

/** Buffer skips what is not base64; only the one spelling of the bytes passes here (RFC 4648 3.5). */
function strictBase64(text: string, field: string, { noun, refusal }: EnvelopeKind): Buffer {
  const bytes = Buffer.from(text, 'base64');
  if (bytes.toString('base64') !== text) throw refusal('MALFORMED', `the ${noun}'s ${field} is not base64`);
  return bytes;
}

/** @throws what `kind.refusal` makes */
export function payloadJson(payload: Buffer, { noun, refusal }: EnvelopeKind): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(payload));
  } catch {
    throw refusal('MALFORMED', `the payload of the ${noun} is not JSON in UTF-8`);
  }
}

export function issueOf(error: {
  issues: readonly { path: readonly PropertyKey[]; message: string }[];
}): string {
  const first = error.issues[0];
  return first === undefined ? 'unknown' : `${first.path.map(String).join('.') || 'value'}: ${first.message}`;
}
