import * as z from 'zod/mini';
import { EVENT_LOG_LIMITS } from '../../formats/efi/event-log.ts';
import { base64, hex } from './fields.ts';

/** PCRs that every quote covers, SHA-256 bank. 7, 11, 12, 13 are enforced, the rest is policy (the trust issue). */
export const QUOTED_PCRS = [0, 1, 2, 3, 4, 5, 6, 7, 11, 12, 13] as const;

export const quoteSchema = z.strictObject({
  /** TPMS_ATTEST, base64. */
  attest: base64(4096),
  /** TPMT_SIGNATURE, base64. */
  signature: base64(2048),
  /** PCR index -> SHA-256 value, hex. */
  pcrs: z.record(z.string().check(z.regex(/^\d{1,2}$/)), hex(32)),
  /** The firmware's own log of what it measured, base64; null where the kernel has none, absent from older images. */
  eventLog: z.optional(z.nullable(base64(Math.ceil(EVENT_LOG_LIMITS.bytes / 3) * 4))),
});
