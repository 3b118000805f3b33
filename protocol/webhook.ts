/** What a system outside says of a node, signed as Standard Webhooks has it (specification, "Asymmetric signatures": `v1a`, Ed25519). Pure. */
import { isUtf8 } from 'node:buffer';
import { createPublicKey, type KeyObject, verify } from 'node:crypto';
import * as z from 'zod/mini';
import { jsonIn } from '../base/json.ts';
import { line } from './enrolment/fields.ts';

export const WEBHOOK_LIMITS = {
  /** Bytes of a body. */
  body: 16 * 1024,
  /** Milliseconds that its time may be off, in both directions. */
  skew: 5 * 60_000,
  /** Signatures of one message: a sender that changes its key sends two. */
  signatures: 4,
} as const;

const PREFIX = 'whpk_';

/** The public key of a source, as PEM or as Standard Webhooks writes it. @returns the latter; null: it is no Ed25519 key */
export function webhookKeyIn(text: string): string | null {
  const given = text.trim();
  // A private key would be taken for its public half, and somebody would have shown it.
  if (!given.startsWith(PREFIX) && !given.startsWith('-----BEGIN PUBLIC KEY-----')) return null;
  try {
    const key = given.startsWith(PREFIX) ? keyOf(given) : createPublicKey(given);
    if (key.asymmetricKeyType !== 'ed25519') return null;
    return PREFIX + Buffer.from(key.export({ format: 'jwk' }).x!, 'base64url').toString('base64');
  } catch {
    return null;
  }
}

function keyOf(text: string): KeyObject {
  const x = Buffer.from(text.slice(PREFIX.length), 'base64').toString('base64url');
  return createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' });
}

/** `suspected`: a person should look at it. */
export const SAYINGS = ['broken', 'suspected'] as const;
export type Saying = (typeof SAYINGS)[number];

const bodySchema = z.object({
  type: z.enum(['node.broken', 'node.suspected']),
  /** Name, id or serial number. */
  data: z.object({
    node: line(128).check(z.minLength(1)),
    reason: line(300).check(z.minLength(1)),
  }),
});
const idSchema = z.string().check(z.regex(/^[\w-]{1,64}$/));
const timeSchema = z.string().check(z.regex(/^\d{1,12}$/));

export type WebhookHeaders = {
  'webhook-id'?: string | undefined;
  'webhook-timestamp'?: string | undefined;
  'webhook-signature'?: string | undefined;
};
export type Webhook = { id: string; says: Saying; node: string; reason: string };
export type Unread = {
  code: 'WEBHOOK_SIGNATURE' | 'WEBHOOK_TIME' | 'WEBHOOK_LATER' | 'WEBHOOK_BODY';
  what: string;
};

export const UNSIGNED: Unread = {
  code: 'WEBHOOK_SIGNATURE',
  what: 'it is not signed with the key of such a source',
};

/** @param now milliseconds since the epoch @param since what was signed until then was perhaps taken before, and nobody knows */
export function readWebhook(
  headers: WebhookHeaders,
  body: Uint8Array,
  key: string,
  { now, since }: { now: number; since: number },
): Webhook | Unread {
  const id = idSchema.safeParse(headers['webhook-id']);
  const time = timeSchema.safeParse(headers['webhook-timestamp']);
  if (!id.success || !time.success || !isSigned(headers, body, key)) return UNSIGNED;
  const at = Number(time.data) * 1000;
  if (Math.abs(now - at) > WEBHOOK_LIMITS.skew)
    return { code: 'WEBHOOK_TIME', what: 'it was signed more than 5 minutes ago, or will be' };
  if (at <= since)
    return {
      code: 'WEBHOOK_LATER',
      what: 'this server does not know what it took before: sign it anew in some minutes',
    };
  const parsed = bodySchema.safeParse(isUtf8(body) ? jsonIn(Buffer.from(body).toString('utf8')) : undefined);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    return {
      code: 'WEBHOOK_BODY',
      what: `it is no such message: ${issue?.path.join('.')} ${issue?.message}`,
    };
  }
  const { type, data } = parsed.data;
  return { id: id.data, says: type === 'node.broken' ? 'broken' : 'suspected', ...data };
}

/** Neither id nor time has a dot, so that no two messages are signed as the same bytes. */
function isSigned(headers: WebhookHeaders, body: Uint8Array, key: string): boolean {
  const { 'webhook-id': id, 'webhook-timestamp': time, 'webhook-signature': given = '' } = headers;
  const signed = Buffer.concat([Buffer.from(`${id}.${time}.`), body]);
  const signatures = given.split(' ').filter((one) => one.startsWith('v1a,'));
  return signatures
    .slice(0, WEBHOOK_LIMITS.signatures)
    .some((one) => verify(null, signed, keyOf(key), Buffer.from(one.slice(4), 'base64')));
}
