/**
 * An order as signed data. Whoever carries it (SSH, HTTPS, a stolen queue) can delay it and nothing else. The node
 * verifies it by itself, with the public keys inside its measured image.
 *
 * The signature covers the payload's bytes as they are sent, so there is no canonical form to disagree about. It is
 * Ed25519 (RFC 8032) over a prefix that no other signature of the fleet begins with.
 */
import { createHash, createPublicKey, type KeyObject, verify } from 'node:crypto';
// The mini build, because the agent's bundle holds this file.
import * as z from 'zod/mini';
import { BootwaveError } from '../base/error.ts';
import { sha256Hex } from '../formats/digest.ts';
import { ORDER_FORMAT, ORDER_LIMITS, type Order, orderSchema } from './order.ts';

/** Ends in a NUL, which JSON never holds: no payload can be read as part of the prefix. */
const DOMAIN = Buffer.from('bootwave order v1\0', 'utf8');

const envelopeSchema = z.strictObject({
  /** Base64 of the JSON text's bytes. */
  payload: z.string().check(z.maxLength(ORDER_LIMITS.payloadCharacters)),
  /** SHA-256 of the signer's SubjectPublicKeyInfo, hex. */
  keyId: sha256Hex,
  /** Base64 of the 64 bytes. */
  signature: z.string().check(z.maxLength(88)),
});
export type OrderEnvelope = z.infer<typeof envelopeSchema>;

/** By key id; more than one while the fleet changes its key. */
export type OrderPublicKeys = ReadonlyMap<string, KeyObject>;

export const ORDER_CODES = [
  'ORDER_OVERSIZED',
  'ORDER_MALFORMED',
  'ORDER_KEY_UNKNOWN',
  'ORDER_SIGNATURE',
  'ORDER_FORMAT',
  'ORDER_WRONG_NODE',
  'ORDER_FROM_FUTURE',
  'ORDER_EXPIRED',
  'ORDER_LIFE',
  'ORDER_EPOCH_OLD',
  'ORDER_EPOCH_REUSED',
  'ORDER_BELOW_FLOOR',
] as const;
export type OrderCode = (typeof ORDER_CODES)[number];

export type VerifiedOrder = {
  order: Order;
  /** SHA-256 of the payload, hex: what two orders of one epoch are told apart by. */
  digest: string;
};

export type OrderContext = {
  nodeId: string;
  /** Milliseconds since the epoch. */
  now: number;
  /** The order that was obeyed last, or null on a node that never had one. */
  last: { epoch: number; digest: string } | null;
};

/** A key says its id with every order; the same object is always the same key. */
const keyIds = new WeakMap<KeyObject, string>();

export function orderKeyId(key: KeyObject): string {
  const known = keyIds.get(key);
  if (known !== undefined) return known;
  const spki = (key.type === 'private' ? createPublicKey(key) : key).export({ type: 'spki', format: 'der' });
  const id = createHash('sha256').update(spki).digest('hex');
  keyIds.set(key, id);
  return id;
}

/**
 * The bytes of an order that are signed and sent.
 * @throws BootwaveError `ORDER_MALFORMED`, `ORDER_OVERSIZED` or `ORDER_LIFE`: what no node would obey is never signed
 */
export function orderPayload(order: unknown): Buffer {
  const checked = orderSchema.safeParse(order);
  if (!checked.success) throw refusal('ORDER_MALFORMED', `the order is malformed: ${issueOf(checked.error)}`);
  checkLife(checked.data);
  const payload = Buffer.from(JSON.stringify(checked.data), 'utf8');
  if (payload.length > ORDER_LIMITS.payloadBytes)
    throw refusal('ORDER_OVERSIZED', `the order takes ${payload.length} bytes`);
  return payload;
}

/** What two orders of one epoch are told apart by: SHA-256, hex. */
export const orderDigest = (payload: Buffer): string => createHash('sha256').update(payload).digest('hex');

/** What the signature of a payload covers. */
export const signedBytes = (payload: Buffer): Buffer => Buffer.concat([DOMAIN, payload]);

/** @param signature of `signedBytes(payload)` by the key of that id */
export function orderEnvelope(payload: Buffer, keyId: string, signature: Buffer): OrderEnvelope {
  return { payload: payload.toString('base64'), keyId, signature: signature.toString('base64') };
}

/**
 * Verifies an order as its node must, before anything of it is believed.
 * @throws BootwaveError with one of `ORDER_CODES`; nothing else is ever thrown, whatever the input is
 */
export function verifyOrder(envelope: unknown, keys: OrderPublicKeys, context: OrderContext): VerifiedOrder {
  const { payload, keyId, signature } = openEnvelope(envelope);
  checkSignature(payload, keyId, signature, keys);
  const order = parseOrder(payload);
  const digest = orderDigest(payload);
  checkNode(order, context.nodeId);
  checkLife(order);
  checkTime(order, context.now);
  checkEpoch(order, digest, context.last);
  return { order, digest };
}

/**
 * The public keys of a PEM file with one or more Ed25519 keys in it.
 * @throws BootwaveError `ORDER_KEY_FILE` when it holds none or another kind
 */
export function readOrderKeys(pem: string): OrderPublicKeys {
  const blocks = pem.match(/-----BEGIN PUBLIC KEY-----[^-]+-----END PUBLIC KEY-----/g) ?? [];
  const keys = new Map<string, KeyObject>();
  for (const block of blocks) {
    const key = createPublicKey(block);
    if (key.asymmetricKeyType === 'ed25519') keys.set(orderKeyId(key), key);
  }
  if (keys.size === 0 || keys.size !== blocks.length) {
    throw new BootwaveError({
      code: 'ORDER_KEY_FILE',
      what: 'the file of order keys does not hold Ed25519 public keys in PEM, and only those',
      next: 'build the image again from a complete keys folder',
    });
  }
  return keys;
}

function openEnvelope(envelope: unknown): { payload: Buffer; keyId: string; signature: Buffer } {
  const text = (envelope as { payload?: unknown } | null | undefined)?.payload;
  if (typeof text === 'string' && text.length > ORDER_LIMITS.payloadCharacters)
    throw refusal('ORDER_OVERSIZED', `the order's payload takes ${text.length} characters of base64`);
  const parsed = envelopeSchema.safeParse(envelope);
  if (!parsed.success) throw refusal('ORDER_MALFORMED', `not an order envelope: ${issueOf(parsed.error)}`);
  return {
    payload: strictBase64(parsed.data.payload, 'payload'),
    keyId: parsed.data.keyId,
    signature: strictBase64(parsed.data.signature, 'signature'),
  };
}

/** Buffer skips what is not base64; only the one spelling of the bytes passes here (RFC 4648 3.5). */
function strictBase64(text: string, field: string): Buffer {
  const bytes = Buffer.from(text, 'base64');
  if (bytes.toString('base64') !== text)
    throw refusal('ORDER_MALFORMED', `the order's ${field} is not base64`);
  return bytes;
}

function checkSignature(payload: Buffer, keyId: string, signature: Buffer, keys: OrderPublicKeys): void {
  const key = keys.get(keyId);
  if (key === undefined)
    throw refusal('ORDER_KEY_UNKNOWN', `the order names the key ${keyId}, which this node does not know`);
  if (signature.length !== 64 || !verify(null, signedBytes(payload), key, signature))
    throw refusal('ORDER_SIGNATURE', 'the order is not signed by the key that it names');
}

function parseOrder(payload: Buffer): Order {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(payload));
  } catch {
    throw refusal('ORDER_MALFORMED', 'the payload of the order is not JSON in UTF-8');
  }
  const format = (value as { format?: unknown } | null)?.format;
  if (typeof format === 'number' && format !== ORDER_FORMAT)
    throw refusal(
      'ORDER_FORMAT',
      `the order has format ${format}; this image understands ${ORDER_FORMAT}`,
      'roll out an image that understands it, with an order of the older format',
    );
  const parsed = orderSchema.safeParse(value);
  if (!parsed.success) throw refusal('ORDER_MALFORMED', `the order is malformed: ${issueOf(parsed.error)}`);
  return parsed.data;
}

function checkNode(order: Order, nodeId: string): void {
  if (order.node !== nodeId)
    throw refusal('ORDER_WRONG_NODE', `the order is for ${order.node}; this is ${nodeId}`);
}

function checkLife(order: Order): void {
  if (order.expires <= order.issuedAt || order.expires - order.issuedAt > ORDER_LIMITS.life)
    throw refusal(
      'ORDER_LIFE',
      `the order lives from ${iso(order.issuedAt)} to ${iso(order.expires)}, which is not a life an order may have`,
    );
}

function checkTime(order: Order, now: number): void {
  if (order.issuedAt > now + ORDER_LIMITS.skew)
    throw refusal(
      'ORDER_FROM_FUTURE',
      `the order was issued at ${iso(order.issuedAt)}; the clock here says ${iso(now)}`,
      'compare the clocks of orchestrator and node',
    );
  if (order.expires <= now)
    throw refusal(
      'ORDER_EXPIRED',
      `the order expired at ${iso(order.expires)}; the clock here says ${iso(now)}`,
      'have a new order issued',
    );
}

function checkEpoch(order: Order, digest: string, last: OrderContext['last']): void {
  if (last === null || order.epoch > last.epoch) return;
  if (order.epoch < last.epoch)
    throw refusal(
      'ORDER_EPOCH_OLD',
      `the order has epoch ${order.epoch}; this node obeys epoch ${last.epoch} already`,
    );
  if (digest !== last.digest)
    throw refusal(
      'ORDER_EPOCH_REUSED',
      `two different orders have epoch ${order.epoch}`,
      'have a new order issued with a higher epoch; find out who signed the second one',
    );
}

function refusal(code: OrderCode, what: string, next = 'look for it in the audit stream'): BootwaveError {
  return new BootwaveError({ code, what, unchanged: 'the order in force stays in force', next });
}

function issueOf(error: { issues: readonly { path: readonly PropertyKey[]; message: string }[] }): string {
  const first = error.issues[0];
  return first === undefined ? 'unknown' : `${first.path.map(String).join('.') || 'value'}: ${first.message}`;
}

function iso(at: number): string {
  const date = new Date(at);
  return Number.isNaN(date.getTime()) ? `${at} ms` : date.toISOString();
}
