/** A command in an instance, over the link: its bytes are asked for piece by piece, so that it never keeps an order waiting. */
import * as z from 'zod/mini';
import { base64Characters } from '../envelope.ts';

export const EXEC_LIMITS = {
  /** Bytes of one piece: base64 and all around it fit a frame. */
  piece: 64 * 1024,
  /** Commands at the same time, of one node and of one slice there. */
  node: 4,
  slice: 2,
  /** Milliseconds: how long a node waits for something to say, and for being asked before it gives up. */
  patience: 10_000,
  unasked: 20_000,
  /** Milliseconds that a command may run. */
  runs: 600_000,
  /** Bytes that one takes, and gives. */
  bytes: 2 ** 30,
} as const;

const piece = z.base64().check(z.maxLength(base64Characters(EXEC_LIMITS.piece)));
const session = z.string().check(z.regex(/^[0-9a-f]{32}$/));

export const EXEC_OPS = {
  /** Root says later, in the bytes, whether it takes the grant. Unknown to images from before it. */
  exec: {
    args: z.strictObject({ grant: z.unknown(), slice: z.string().check(z.maxLength(32)) }),
    result: z.object({ session }),
  },
  /** What has come from root (protocol/chunks.ts); none: nothing yet. Whoever stops waiting for it ends the command. */
  'exec-read': {
    args: z.strictObject({ session }),
    result: z.object({ bytes: piece, ended: z.boolean() }),
  },
  /** For root. Answered when it has taken them. */
  'exec-write': { args: z.strictObject({ session, bytes: piece }), result: z.object({}) },
} as const;
