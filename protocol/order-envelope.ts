/**
 * An order as signed data. Whoever carries it (SSH, HTTPS, a stolen queue) can delay it and nothing else. The node
 * verifies it by itself, with the public keys inside its measured image.
 */
import { createHash, createPublicKey, type KeyObject } from 'node:crypto';
import { BootwaveError } from '../base/error.ts';
import {
  type Envelope,
  type EnvelopeKind,
  envelopeOf,
  issueOf,
  type OrderPublicKeys,
  openEnvelope,
  payloadJson,
} from './envelope.ts';
import { ORDER_FORMAT, ORDER_LIMITS, type Order, orderSchema } from './order.ts';

const DOMAIN = Buffer.from('bootwave order v1\0', 'utf8');

export type OrderEnvelope = Envelope;
export type { OrderPublicKeys };

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
export const orderEnvelope: typeof envelopeOf = envelopeOf;

const KIND: EnvelopeKind = {
  ...{ noun: 'order', domain: DOMAIN, most: ORDER_LIMITS.payloadBytes },
  refusal: (fault, what) => refusal(`ORDER_${fault}`, what),
};

/**
 * Verifies an order as its node must, before anything of it is believed.
 * @throws BootwaveError with one of `ORDER_CODES`; nothing else is ever thrown, whatever the input is
 */
export function verifyOrder(envelope: unknown, keys: OrderPublicKeys, context: OrderContext): VerifiedOrder {
  const payload = openEnvelope(envelope, keys, KIND);
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

function parseOrder(payload: Buffer): Order {
  const value = payloadJson(payload, KIND);
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

function iso(at: number): string {
  const date = new Date(at);
  return Number.isNaN(date.getTime()) ? `${at} ms` : date.toISOString();
}
