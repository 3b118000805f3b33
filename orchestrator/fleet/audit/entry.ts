import { z } from 'zod';

/**
 * One line of the fleet's history. Who did what to which node, and why. The stream is append-only; `commit.ts`
 * numbers the entries and chains them by hash, in fields beside `entry`.
 */
export const auditEntrySchema = z.object({
  /** Milliseconds since the epoch, by the clock of the process that acted. */
  at: z.number(),
  /** `operator:<user>`, `policy`, `node`, `bootserver`, `sweeper`. */
  actor: z.string(),
  /** Serial of the certificate with which a person acted, hex; absent for actors that need none. */
  certificate: z.string().optional(),
  /** Node id; absent where the action is about something else. */
  node: z.string().optional(),
  /** A verb: `enrol`, `approve`, `reject`, `retire`, `certify`, `heartbeat`, `lost`, `refused`, `expect`, ... */
  action: z.string(),
  /** States before and after; equal when only facts changed, absent for what has no state. */
  from: z.string().optional(),
  to: z.string().optional(),
  reason: z.string(),
  detail: z.record(z.string(), z.string()).optional(),
});
export type AuditEntry = z.infer<typeof auditEntrySchema>;

export const auditRecordSchema = auditEntrySchema.extend({
  /** The place in the stream: `<milliseconds by Redis>-<number>`. */
  key: z.string(),
  /** Number and SHA-256 in the chain. */
  seq: z.number(),
  hash: z.string(),
});
export type AuditRecord = z.infer<typeof auditRecordSchema>;
