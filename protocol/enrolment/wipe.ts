/**
 * How a held machine says what it has wiped, in the session in which it proved itself: a nonce, then a report with a quote
 * over both. It is worth as much as the image that the quote shows: what runs there has read the disks back
 * (image/agent/root/disk/wipe/).
 */
import * as z from 'zod/mini';
import { BootwaveError } from '../../base/error.ts';
import { jsonIn } from '../../base/json.ts';
import { diskNameSchema } from '../order.ts';
import { base64, hex } from './fields.ts';
import { nonceReply } from './heartbeat.ts';
import { quoteSchema } from './quote.ts';

export const WIPE_LIMITS = {
  /** Characters of a report. */
  report: 128 * 1024,
  /** Disks in each list of it: as many as an inventory has. */
  disks: 512,
} as const;

const disks = z.array(diskNameSchema).check(z.maxLength(WIPE_LIMITS.disks));
const reportSchema = z.strictObject({
  /** Number in the order that was obeyed. */
  incident: z.int().check(z.gte(1)),
  /** They no longer read as before. */
  wiped: disks,
  /** Disks of others, which were not touched. */
  left: disks,
  /** What had to be wiped and was not, and why. */
  open: z
    .array(z.strictObject({ name: diskNameSchema, why: z.string().check(z.maxLength(300)) }))
    .check(z.maxLength(WIPE_LIMITS.disks)),
});
export type WipeReport = z.infer<typeof reportSchema>;

export const wipeNonceRequest = z.strictObject({ session: hex(16) });
export const wipeNonceReply = nonceReply;
export const wipedRequest = z.strictObject({
  session: hex(16),
  /** TPM2B_PUBLIC of the attestation key that the machine enrolled with, base64. */
  ak: base64(2048),
  /** JSON, byte for byte as it was quoted. */
  report: z.string().check(z.maxLength(WIPE_LIMITS.report)),
  quote: quoteSchema,
});
export type WipedRequest = z.infer<typeof wipedRequest>;
export const wipedReply = z.object({});

/** @throws BootwaveError `WIPE_REPORT` */
export function writeReport(report: WipeReport): string {
  const text = JSON.stringify(reportSchema.parse(report));
  if (text.length <= WIPE_LIMITS.report) return text;
  throw refusal(`a report of ${text.length} characters`);
}

/** @throws BootwaveError `WIPE_REPORT` */
export function readReport(text: string): WipeReport {
  const parsed = reportSchema.safeParse(jsonIn(text));
  if (parsed.success) return parsed.data;
  throw refusal('what the machine says of its disks is no report');
}

const refusal = (what: string) =>
  new BootwaveError({ code: 'WIPE_REPORT', what, unchanged: 'the machine stays held' });
