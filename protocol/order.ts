/**
 * Orders: what a node is told to be, as signed data. Whoever carries an order (SSH, HTTPS, a stolen queue) can delay
 * it and nothing else. The node verifies it by itself, with the public keys inside its measured image.
 */
import { createHash, createPublicKey, type KeyObject } from 'node:crypto';
// The mini build, because the agent's bundle holds this file.
import * as z from 'zod/mini';
import { BootwaveError } from '../base/error.ts';
import { versionSchema } from '../formats/version.ts';
import {
  base64Characters,
  type Envelope,
  type EnvelopeKind,
  envelopeOf,
  issueOf,
  type OrderPublicKeys,
  openEnvelope,
  payloadJson,
} from './envelope.ts';
import { RESERVATION_LIMITS, reservationSchema } from './reservation.ts';
import { BUNDLE_LIMITS } from './service/bundle.ts';
import { distinct } from './service/manifest.ts';
import { instanceNameSchema } from './service/name.ts';

export const ORDER_FORMAT = 1;

/** Bytes of the payload. */
const PAYLOAD = 32 * 1024;

export const ORDER_LIMITS = {
  payloadBytes: PAYLOAD,
  /** Characters of an envelope as JSON: the payload in base64, key id, signature, names of fields. */
  envelopeCharacters: base64Characters(PAYLOAD) + 256,
  /** Milliseconds by which the signer's clock may be ahead of the node's. */
  skew: 300_000,
  /** Milliseconds that an order may live at the most: a node that was away longer must be given a new one. */
  life: 400 * 24 * 3600_000,
  /** Services of one node: with the longest names they take half of the payload. */
  services: 64,
  /** Disks of one node that Bootwave installed. */
  disks: 16,
} as const;

const DOMAIN = Buffer.from('bootwave order v1\0', 'utf8');

const digest = z.string().check(z.regex(/^[0-9a-f]{64}$/));
/** Milliseconds since the epoch. */
const instant = z.int().check(z.gte(0));

const orderedService = z.strictObject({
  name: instanceNameSchema,
  version: versionSchema,
  /** Of the bundle. */
  sha256: digest,
  /** Bytes of the bundle. */
  size: z.int().check(z.gte(1), z.lte(BUNDLE_LIMITS.bytes)),
});
/** One version of a service that a node is to run, for itself or for a slice. */
export type OrderedService = z.infer<typeof orderedService>;

/** By what a disk is known again: its WWN, or the serial number of one that has none. */
export const diskNameSchema = z
  .string()
  .check(z.minLength(1), z.maxLength(128), z.regex(/^[^\p{Cc}\p{Cs}]*$/u));

/** Of an order to a machine that is held (bootwave incident): to wipe its disks, and nothing else. */
const incidentSchema = z.strictObject({
  /** Of the incidents of this node. */
  number: z.int().check(z.gte(1)),
  /** The disks that Bootwave installed there. */
  installed: z.array(diskNameSchema).check(z.maxLength(ORDER_LIMITS.disks)),
  /** What becomes of all other disks. */
  others: z.enum(['leave', 'wipe']),
});
export type OrderedWipe = z.infer<typeof incidentSchema>;

/** Bytes a second to which a service may be throttled: one packet of Ethernet, and what no card can. */
export const THROTTLE = { least: 1514, most: 2 ** 40 } as const;

export const restraintSchema = z.discriminatedUnion('how', [
  /** None of its programs goes on, none is begun, and nothing of it reaches the network. Its state and memory stay. */
  z.strictObject({ name: instanceNameSchema, how: z.literal('freeze') }),
  /** `rate`: bytes a second, of what it sends and of what it receives; what is more is dropped. */
  z.strictObject({
    name: instanceNameSchema,
    how: z.literal('throttle'),
    rate: z.int().check(z.gte(THROTTLE.least), z.lte(THROTTLE.most)),
  }),
]);
export type Restraint = z.infer<typeof restraintSchema>;

/** The record's id, `tpm-<hex>` or `dev-<hex>`: no folder is in one. */
export const nodeIdSchema = z.string().check(z.regex(/^[0-9A-Za-z][0-9A-Za-z._:-]{0,127}$/));

const fields = z.strictObject({
  format: z.literal(ORDER_FORMAT),
  node: nodeIdSchema,
  /** Rises with every order of a node; a node obeys no lower one again. */
  epoch: z.int().check(z.gte(1)),
  issuedAt: instant,
  expires: instant,
  mode: z.enum(['netboot', 'installed']),
  /** Null leaves the choice of the image to the boot server (diskless). `size` in bytes. */
  image: z.nullable(
    z.strictObject({
      version: versionSchema,
      sha256: digest,
      size: z.int().check(z.gte(1), z.lte(2 ** 31)),
    }),
  ),
  /**
   * All that runs there; what is not named ends. An image from before it knew services accepts an empty list only, so
   * no node obeys half of an order.
   */
  services: z.array(orderedService).check(
    z.maxLength(ORDER_LIMITS.services),
    distinct(({ name }) => name, 'a name'),
  ),
  /** SHA-256 of the configuration document. */
  config: z.nullable(digest),
  /** The one word without which existing data on a disk stays. */
  wipe: z.boolean(),
  /** Versions that this node refused earlier and may try again. */
  forgiven: z.array(versionSchema).check(z.maxLength(64)),
  /**
   * The release floor when it was signed: from here on the node takes no older image, whatever is ordered. Absent while
   * the fleet has none, so that images from before it understand the order.
   */
  floor: z.optional(versionSchema),
  /** Absent from all other orders: an image from before incidents obeys those, and refuses this one. */
  incident: z.optional(incidentSchema),
  /**
   * Services of this order that do harm. Absent where there is none, so that images from before understand the order; one
   * that knows no restraints refuses an order with some, and so obeys no half of it.
   */
  restraints: z.optional(
    z.array(restraintSchema).check(
      z.minLength(1),
      z.maxLength(ORDER_LIMITS.services),
      distinct(({ name }) => name, 'a name'),
    ),
  ),
  /** Of slices that have services in this order; absent where there is none, as with restraints. */
  reservations: z.optional(
    z.array(reservationSchema).check(z.minLength(1), z.maxLength(RESERVATION_LIMITS.perOrder)),
  ),
});
export type Order = z.infer<typeof fields>;

/** Nothing that a machine runs comes with the order to wipe it. */
const isOnlyWipe = ({ mode, image, services, config, wipe }: Order): boolean =>
  wipe && mode === 'netboot' && image === null && config === null && services.length === 0;

export const orderSchema = fields.check(
  z.refine((order) => order.incident === undefined || isOnlyWipe(order), {
    error: 'an order of an incident wipes, and does nothing else',
    path: ['incident'],
  }),
);

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
  ...{ noun: 'order', domain: DOMAIN, most: PAYLOAD },
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
