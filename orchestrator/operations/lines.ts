/**
 * The messages between a door and its callers, a line of JSON each: the door greets with a nonce, the caller asks, the
 * door answers. A caller may ask again on the same connection. An operation that goes on says `opened` before its answer: until
 * that comes, both sides send bytes (carried.ts).
 */
import type { errorOf } from '../../base/error.ts';
import type { HostUser } from '../operators/host-user.ts';
import type { Signed } from '../operators/request.ts';
import type { DataLine } from './carried.ts';

export const PROTOCOL = 'bootwave operations 1';

/** Bytes of a line. */
export const MOST_ASK = 2 * 1024 * 1024;
/** 10,000 nodes are 30 MB. */
export const MOST_ANSWER = 256 * 1024 * 1024;

/** Hex, 32 bytes. */
export type Greeting = { protocol: typeof PROTOCOL; nonce: string };

/** Who asks. At the network's door the certificate of the connection shows it, and this field is left out. */
export type Claim =
  | HostUser
  /** PEM, and the base64 of what `prove` makes of the greeting's nonce. */
  | { certificate: string; proof: string };

export type AskLine = { operation: string; input: unknown; by?: Claim; signed?: Signed };

/** A request that waits for a second person. */
export type Waiting = { id: string; operation: string; input: Record<string, unknown>; expires: number };

/** What the answer is preceded by, of an operation that carries bytes. */
export type MeanwhileLine = { opened: object } | DataLine;

export type AnswerLine = {
  /** The CA of the caller's certificate is being replaced. */
  renew?: true;
} & (
  | { ok: true; result: unknown }
  | { ok: true; waits: Waiting; shown: object }
  | { ok: false; sign: { word: 'ask' | 'approve'; text: string; at: number } }
  | { ok: false; error: Parameters<typeof errorOf>[0] }
);
