/** Orders: what a node is told to be. How they are signed and verified is in order-envelope.ts. */
// The mini build, because the agent's bundle holds this file.

import * as z from 'zod/mini';
import { sha256Hex } from '../formats/digest.ts';
import { versionSchema } from '../formats/version.ts';
import { RESERVATION_LIMITS, reservationSchema } from './reservation.ts';
import { BUNDLE_LIMITS } from './service/bundle.ts';
import { distinct } from './service/manifest.ts';
import { instanceNameSchema } from './service/name.ts';

export const ORDER_FORMAT = 1;

/** Bytes of the payload. */
const PAYLOAD = 32 * 1024;
/** Characters of its base64. */
const PAYLOAD_TEXT = Math.ceil(PAYLOAD / 3) * 4;

export const ORDER_LIMITS = {
  payloadBytes: PAYLOAD,
  payloadCharacters: PAYLOAD_TEXT,
  /** Characters of an envelope as JSON: the payload in base64, key id, signature, names of fields. */
  envelopeCharacters: PAYLOAD_TEXT + 256,
  /** Milliseconds by which the signer's clock may be ahead of the node's. */
  skew: 300_000,
  /** Milliseconds that an order may live at the most: a node that was away longer must be given a new one. */
  life: 400 * 24 * 3600_000,
  /** Services of one node: with the longest names they take half of the payload. */
  services: 64,
  /** Disks of one node that Bootwave installed. */
  disks: 16,
} as const;

/** Milliseconds since the epoch. */
const instant = z.int().check(z.gte(0));

const orderedService = z.strictObject({
  name: instanceNameSchema,
  version: versionSchema,
  /** Of the bundle. */
  sha256: sha256Hex,
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

/** Of an order in an incident: none of its services is begun, and none goes on. They stay in the order, and their state on the disk. */
export const rescueSchema = z.strictObject({
  /** Of the incidents of this node. */
  incident: z.int().check(z.gte(1)),
  /** Who gets in to look: whoever has a certificate of this authority for this incident. Absent: nobody. */
  access: z.optional(
    z.strictObject({
      /** Its public key (Ed25519, RFC 8032), hex. */
      authority: sha256Hex,
      /** After it nobody gets in. */
      until: instant,
    }),
  ),
});
export type Rescue = z.infer<typeof rescueSchema>;

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
      sha256: sha256Hex,
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
  config: z.nullable(sha256Hex),
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
  /** Absent from all orders but those of a node that people look at; one that knows no rescue refuses the order, and goes on. */
  rescue: z.optional(rescueSchema),
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
