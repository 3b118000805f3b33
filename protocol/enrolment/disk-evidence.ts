/**
 * What a held machine shows of its disks before it wipes them, in the session in which it proved itself: it asks whether anybody wants that, and says
 * it with a quote, over a nonce of the wipe's (wipe.ts). It is worth as much as the image that the quote shows. Older boot servers have no such
 * page, and older images do not ask.
 */
import * as z from 'zod/mini';
import { BootwaveError } from '../../base/error.ts';
import { jsonIn } from '../../base/json.ts';
import { sha256Hex } from '../../formats/digest.ts';
import { diskNameSchema } from '../order.ts';
import { base64, count, hex, line } from './fields.ts';
import { quoteSchema } from './quote.ts';

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
export const diskEvidenceRequest = z.strictObject({
  session: hex(16),
  /** TPM2B_PUBLIC of the attestation key that the machine enrolled with, base64. */
  ak: base64(2048),
  /** JSON, byte for byte as it was quoted. */
  report: z.string().check(z.maxLength(DISK_EVIDENCE_LIMITS.report)),
  quote: quoteSchema,
});
export type DiskEvidenceRequest = z.infer<typeof diskEvidenceRequest>;
export const diskEvidenceReply = z.object({});

/** @throws BootwaveError `DISK_EVIDENCE` */
export function writeDiskEvidence(report: DiskEvidence): string {
  const text = JSON.stringify(reportSchema.parse(report));
  if (text.length <= DISK_EVIDENCE_LIMITS.report) return text;
  throw refusal(`a report of ${text.length} characters`);
}

/** @throws BootwaveError `DISK_EVIDENCE` */
export function readDiskEvidence(text: string): DiskEvidence {
  const parsed = reportSchema.safeParse(jsonIn(text));
  if (parsed.success) return parsed.data;
  throw refusal('what the machine shows of its disks is no report');
}

const refusal = (what: string) =>
  new BootwaveError({ code: 'DISK_EVIDENCE', what, unchanged: 'nothing of it was kept' });
