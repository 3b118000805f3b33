/**
 * What the agent may ask of root when an order says that this machine's disks are wiped: to show what is on them, and to do it. Root reads the
 * order itself.
 */
import * as z from 'zod/mini';
import { DISK_READS, type DiskRead } from '../enrolment/disk-evidence.ts';

export const wipeRequest = z.discriminatedUnion('operation', [
  z.strictObject({ operation: z.literal('disk-wipe') }),
  z.strictObject({ operation: z.literal('disk-evidence'), read: z.enum(DISK_READS) }),
]);

export type WipeResults = {
  /** For the boot server (protocol/enrolment/wipe.ts); `open`: something had to be wiped and was not. */
  'disk-wipe': { report: string; open: boolean };
  /** For the boot server (protocol/enrolment/disk-evidence.ts). */
  'disk-evidence': { report: string };
};

export type AskWipe = {
  (request: { operation: 'disk-wipe' }): Promise<WipeResults['disk-wipe']>;
  (request: { operation: 'disk-evidence'; read: DiskRead }): Promise<WipeResults['disk-evidence']>;
};
