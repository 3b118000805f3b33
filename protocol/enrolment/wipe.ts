/**
 * How a held machine says what it has wiped, in the session in which it proved itself: a nonce, then a report with a quote
 * over both. It is worth as much as the image that the quote shows: what runs there has read the disks back
 * (image/agent/root/disk/wipe/).
 */
import * as z from 'zod/mini';
import { diskNameSchema } from '../order.ts';
import { hex } from './fields.ts';
import { nonceReply } from './heartbeat.ts';
import { quotedReport } from './quoted-report.ts';

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
const said = quotedReport(reportSchema, {
  ...{ most: WIPE_LIMITS.report, code: 'WIPE_REPORT', unchanged: 'the machine stays held' },
  what: 'what the machine says of its disks is no report',
});
export const wipedRequest = said.request;
export type WipedRequest = z.infer<typeof wipedRequest>;
export const wipedReply = z.object({});

/** @throws BootwaveError `WIPE_REPORT` */
export const { write: writeReport, read: readReport } = said;
