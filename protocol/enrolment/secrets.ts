/**
 * How a member asks for the secrets of a service, over mutual TLS: a nonce, then a question with a quote over it. The
 * agent carries what root has made and what root alone can open (protocol/service/sealed.ts).
 */
import * as z from 'zod/mini';
import { versionSchema } from '../../formats/version.ts';
import { instanceNameSchema } from '../service/name.ts';
import { base64, hex } from './fields.ts';
import { quoteSchema } from './quote.ts';

/** X25519. */
const publicKey = z.string().check(z.regex(/^[A-Za-z0-9+/]{43}=$/));
const number = z.int().check(z.gte(0));

/** One version of a service, by the bundle that the order names. */
const bundledSchema = z.strictObject({
  name: instanceNameSchema,
  version: versionSchema,
  sha256: hex(32),
});

export const secretsNonceRequest = z.strictObject({ service: bundledSchema });
export const secretsNonceReply = z.object({
  nonce: hex(32),
  /** Of the last change of the secrets of this service; 0: it never had any. */
  number,
});

/** What root makes of a nonce. */
export const secretsQuestion = z.strictObject({
  service: bundledSchema,
  publicKey,
  /** The signed order that the node obeys; the server verifies it. */
  order: z.unknown(),
  /** TPM2B_PUBLIC of endorsement, attestation and delivery key, base64. */
  ek: base64(2048),
  ak: base64(2048),
  key: base64(2048),
  quote: quoteSchema,
});
export type SecretsQuestion = z.infer<typeof secretsQuestion>;

export const secretsAnswer = z.strictObject({
  number,
  publicKey,
  /** As in `keysReply`, for the delivery key. */
  credential: z.strictObject({ blob: base64(512), seed: base64(2048) }),
  sealed: base64(40 * 1024),
  /** ECDSA with SHA-256 (DER) over `answerData`, base64. */
  signature: base64(512),
  /** PEM: the server's certificate, then the servers CA. */
  chain: z.string().check(z.maxLength(16_384)),
});
export type SecretsAnswer = z.infer<typeof secretsAnswer>;
