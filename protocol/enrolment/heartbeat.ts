/** What a member says to its boot server over mutual TLS: that it is up and how it is; and what it booted, once more. */
import * as z from 'zod/mini';
import { base64, hex, line } from './fields.ts';
import { runningSchema } from './inventory.ts';
import { quoteSchema } from './quote.ts';

/** Errors that the kernel has counted: of memory that were not corrected, of disks and file systems. Null: it counts none. */
const errorsSchema = z.strictObject({
  memory: z.nullable(z.int().check(z.gte(0))),
  disk: z.nullable(z.int().check(z.gte(0))),
});
export type HardwareErrors = z.infer<typeof errorsSchema>;

/** What one disk foretells of itself: SMART, or the health log of NVMe. */
export const diskSmart = z.strictObject({
  /** For the person who takes it out: WWN, serial number, and where it is. */
  disk: line(256),
  /** Null: it says nothing, or nobody could ask it. */
  failing: z.nullable(z.boolean()),
  why: line(256),
});
export type DiskSmart = z.infer<typeof diskSmart>;
/** Disks of which a heartbeat tells. */
export const MOST_SMART = 4;

const hardwareTold = z.extend(errorsSchema, {
  /** Its clock, milliseconds since the epoch. */
  clock: z.int().check(z.gte(0)),
  /** Of the disks that Bootwave installed. Sent to a boot server that has asked for it. */
  smart: z.optional(z.array(diskSmart).check(z.maxLength(MOST_SMART))),
});
export type HardwareTold = z.infer<typeof hardwareTold>;

export const heartbeatSchema = z.strictObject({
  running: runningSchema,
  /** Seconds since boot. */
  uptime: z.number().check(z.gte(0)),
  healthy: z.boolean(),
  /** Why it is not, else empty. */
  reason: line(256),
  /** Sent to a boot server that has asked for it: older ones take no other fields than they know. */
  hardware: z.optional(hardwareTold),
});
export type Heartbeat = z.infer<typeof heartbeatSchema>;
export const heartbeatReply = z.object({
  /** Seconds. */
  interval: z.number(),
  /** Seconds within which to renew the certificate, at a time of the node's own choice: its CA is on its way out. */
  renew: z.optional(z.number().check(z.gte(0))),
  /** Seconds between two attestations; absent: only enrolments attest. */
  attest: z.optional(z.number()),
  /** Number of the last change of any secret here; absent: there was none. */
  secrets: z.optional(z.int().check(z.gte(0))),
  /** The next heartbeat may tell of the hardware. */
  hardware: z.optional(z.literal(true)),
  /** And of that also what disks foretell of themselves. */
  smart: z.optional(z.literal(true)),
  /** URL below which this boot server has its images, by plain HTTP: what a node fetches, it holds against a signed digest. */
  images: z.optional(z.string().check(z.maxLength(256), z.regex(/^http:\/\/[0-9A-Za-z.:[\]/-]+$/))),
});

/** Between two enrolments: a nonce, then a quote over it (TPM 2.0 Part 3, 18.4). */
export const nonceRequest = z.strictObject({});
export const nonceReply = z.strictObject({ nonce: hex(32) });
export const attestRequest = z.strictObject({
  /** TPM2B_PUBLIC of the attestation key that the machine enrolled with, base64. */
  ak: base64(2048),
  quote: quoteSchema,
});
export const attestReply = z.object({});
