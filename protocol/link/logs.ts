/** What an instance has written, as its node keeps it in the journal of this boot. */
import * as z from 'zod/mini';
import { line } from '../line.ts';
import { instanceNameSchema } from '../service/name.ts';

export const LOG_LIMITS = {
  /** Lines in one answer, and characters of each. */
  lines: 1000,
  text: 2048,
  /** Bytes of the lines of an answer as JSON: with all around them they fit a frame. */
  bytes: 96 * 1024,
} as const;

export const logsArgs = z.strictObject({
  name: instanceNameSchema,
  /** Milliseconds before the node's own time; null: as long as the journal goes back. */
  age: z.nullable(z.int().check(z.gte(1))),
  /** The newest. */
  lines: z.int().check(z.gte(1), z.lte(LOG_LIMITS.lines)),
});
export type LogsArgs = z.infer<typeof logsArgs>;

const logLine = z.object({
  /** Milliseconds since the epoch, by the node's clock. */
  at: z.int().check(z.gte(0), z.lte(8.64e15)),
  /** 0 to 7 (RFC 5424 6.2.1). */
  severity: z.int().check(z.gte(0), z.lte(7)),
  text: line(LOG_LIMITS.text),
  /** The node itself says it of the instance: that it began, or how it ended. Nothing in an instance can say so. */
  byNode: z.boolean(),
});
export type LogLine = z.infer<typeof logLine>;

export const logsSchema = z.object({
  /** The oldest first. */
  lines: z.array(logLine).check(z.maxLength(LOG_LIMITS.lines)),
  /** There are older ones that were asked for and found no place. */
  more: z.boolean(),
});
export type Logs = z.infer<typeof logsSchema>;
