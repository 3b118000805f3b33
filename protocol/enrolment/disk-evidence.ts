/**
 * What a held machine shows of its disks before it wipes them, in the session in which it proved itself: it asks whether anybody wants that, and says
 * it with a quote, over a nonce of the wipe's (wipe.ts). It is worth as much as the image that the quote shows. Older boot servers have no such
 * page, and older images do not ask.
 */
import * as z from 'zod/mini';
import { sha256Hex } from '../../formats/digest.ts';
import { diskNameSchema } from '../order.ts';
import { count, hex, line } from './fields.ts';
import { quotedReport } from './quoted-report.ts';

/** `heads`: tables, beginnings and ends of partitions, LUKS headers, and blocks all over the disk. `all`: every byte. */
export const DISK_READS = ['heads', 'all'] as const;
export type DiskRead = (typeof DISK_READS)[number];

/** Milliseconds that reading may take, all disks together; the wipe waits for it. */
export const READ_TIME: Readonly<Record<DiskRead, number>> = { heads: 10 * 60_000, all: 4 * 3600_000 };

export const DISK_EVIDENCE_LIMITS = {
  /** Characters of a report. */
  report: 128 * 1024,
  disks: 16,
  /** Of one disk. */
  parts: 32,
} as const;

const reportSchema = z.strictObject({
  /** Number in the order that is in force. */
  incident: z.int().check(z.gte(1)),
  read: z.enum(DISK_READS),
  disks: z
    .array(
      z.strictObject({
        name: diskNameSchema,
        /** Bytes. */
        size: count(),
        parts: z
          .array(
            z.strictObject({
              what: line(80),
              /** Bytes from the beginning of the disk, and how many. */
              from: count(),
              length: count(),
              sha256: sha256Hex,
            }),
          )
          .check(z.maxLength(DISK_EVIDENCE_LIMITS.parts)),
      }),
    )
    .check(z.maxLength(DISK_EVIDENCE_LIMITS.disks)),
  /** What was not read, and why. */
  missing: z.array(line(300)).check(z.maxLength(64)),
});
export type DiskEvidence = z.infer<typeof reportSchema>;

export const diskAskRequest = z.strictObject({ session: hex(16) });
/** Null: nobody wants it. */
export const diskAskReply = z.object({ read: z.nullable(z.enum(DISK_READS)) });
const shown = quotedReport(reportSchema, {
  ...{ most: DISK_EVIDENCE_LIMITS.report, code: 'DISK_EVIDENCE', unchanged: 'nothing of it was kept' },
  what: 'what the machine shows of its disks is no report',
});
export const diskEvidenceRequest = shown.request;
export type DiskEvidenceRequest = z.infer<typeof diskEvidenceRequest>;
export const diskEvidenceReply = z.object({});

/** @throws BootwaveError `DISK_EVIDENCE` */
export const { write: writeDiskEvidence, read: readDiskEvidence } = shown;
