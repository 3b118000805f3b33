/** What a person says of a node until a time: rollouts leave it alone, or it stays on an image. */
import { type Refusal, refuse } from '../outcome.ts';
import type { NodeRecord } from '../record.ts';
import type { Operator } from './operate.ts';

/** @param until milliseconds since the epoch; null: until somebody ends it */
export type Word = Operator & { reason: string; until: number | null };

export function refuseWord(
  { name, state }: NodeRecord,
  { until, at }: Word,
  { what, over }: { what: string; over: string },
): Refusal | null {
  if (state === 'retired' || state === 'rejected')
    return refuse('NODE_NOT_MEMBER', `node ${name} is ${state}: no rollout touches it`);
  if (until !== null && until <= at) return refuse(over, `the ${what} of node ${name} would be over already`);
  return null;
}

/** Null: it was not said, or its time is over. */
export function inForce<T extends { until: number | null }>(word: T | null, now: number): T | null {
  return word === null || (word.until !== null && word.until <= now) ? null : word;
}

export const untilText = ({ until }: { until: number | null }) =>
  until === null ? '' : ` until ${new Date(until).toISOString().slice(0, 16)}Z`;
