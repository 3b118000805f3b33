/** The messages between orchestrator and signer: a line of JSON each, over a unix socket. */
import { z } from 'zod';
import { voteSchema } from '../../keys/vote.ts';
import { ORDER_LIMITS } from '../../protocol/order.ts';

/** Bytes of a line: an order, what is shown with it, and quotation marks behind backslashes. */
export const MOST_LINE = ORDER_LIMITS.payloadBytes + ORDER_LIMITS.envelopeCharacters + 16 * 1024;

export const askSchema = z.discriminatedUnion('op', [
  z.strictObject({ id: z.int(), op: z.literal('sign'), order: z.unknown(), shown: z.string().optional() }),
  z.strictObject({
    ...{ id: z.int(), op: z.literal('standing'), node: z.string().max(128) },
    shown: z.string().optional(),
  }),
  z.strictObject({
    ...{ id: z.int(), op: z.literal('grant') },
    signed: z.strictObject({ text: z.string(), vote: voteSchema }),
    shown: z.string().optional(),
  }),
  z.strictObject({ id: z.int(), op: z.literal('learn'), node: z.string().max(128), shown: z.string() }),
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
