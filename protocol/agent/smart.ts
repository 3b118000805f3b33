/** What the agent may ask of root about what disks foretell of themselves: a closed list of one. */
import * as z from 'zod/mini';
import type { DiskSmart } from '../enrolment/heartbeat.ts';

export const SMART_SOCKET = '/run/bootwave/smart.sock';

export const smartRequest = z.discriminatedUnion('operation', [
  /** Of the disks that Bootwave installed. Writes nothing. */
  z.strictObject({ operation: z.literal('disk-smart') }),
]);
type SmartRequest = z.infer<typeof smartRequest>;

export type SmartResults = { 'disk-smart': { disks: DiskSmart[] } };

export type AskSmart = <O extends SmartRequest['operation']>(
  request: Extract<SmartRequest, { operation: O }>,
) => Promise<SmartResults[O]>;
