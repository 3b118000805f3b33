/** The messages between orchestrator and signer: a line of JSON each, over a unix socket. */
import { z } from 'zod';

/** Bytes of a line; an order takes up to 32 KiB, its envelope a third more. */
export const MOST_LINE = 128 * 1024;

export const askSchema = z.discriminatedUnion('op', [
  z.strictObject({ id: z.int(), op: z.literal('sign'), order: z.unknown(), shown: z.string().optional() }),
  z.strictObject({ id: z.int(), op: z.literal('standing'), node: z.string().max(128) }),
]);
export type Ask = z.infer<typeof askSchema>;

const errorSchema = z.object({
  code: z.string(),
  what: z.string(),
  unchanged: z.string().optional(),
  next: z.string().optional(),
});
export const answerSchema = z.union([
  z.object({ id: z.int(), ok: z.literal(true), result: z.unknown() }),
  z.object({ id: z.int(), ok: z.literal(false), error: errorSchema }),
]);
export type Answer = z.infer<typeof answerSchema>;
