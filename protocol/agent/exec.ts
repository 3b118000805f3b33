/** What the agent may ask of root about commands in instances: to take a grant (protocol/grant.ts), and pass bytes on (protocol/chunks.ts). */
import * as z from 'zod/mini';
import { failureSchema } from '../failure.ts';
import { line } from '../line.ts';

export const EXEC_SOCKET = '/run/bootwave/exec.sock';

/** How a command ended, as root says it; `exit`: 128 and the signal where one ended it. */
export const endSchema = z.union([
  z.object({ exit: z.int().check(z.gte(0), z.lte(255)), why: line(512) }),
  z.object({ error: failureSchema }),
]);
export type ExecEnd = z.infer<typeof endSchema>;
