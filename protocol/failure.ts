/** An error as one program tells it to another (base/error.ts). */
import * as z from 'zod/mini';
import { line } from './line.ts';

export const failureSchema = z.object({
  code: z.string().check(z.regex(/^[A-Z][A-Z0-9_]{1,63}$/)),
  what: line(1024),
  unchanged: z.optional(line(512)),
  next: z.optional(line(512)),
});
