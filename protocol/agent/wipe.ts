/** What the agent may ask of root when an order says that this machine's disks are wiped: to do it. Root reads the order itself. */
import * as z from 'zod/mini';

export const wipeRequest = z.discriminatedUnion('operation', [
  z.strictObject({ operation: z.literal('disk-wipe') }),
]);

export type WipeResults = {
  /** For the boot server (protocol/enrolment/wipe.ts); `open`: something had to be wiped and was not. */
  'disk-wipe': { report: string; open: boolean };
};

export type AskWipe = (request: { operation: 'disk-wipe' }) => Promise<WipeResults['disk-wipe']>;
