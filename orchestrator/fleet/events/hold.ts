/** What keeps rollouts from one node until a time, because a person said so: a hold, or a pin to an image (pin.ts). */
import { type Outcome, type Refusal, refuse, take } from '../outcome.ts';
import type { NodeRecord } from '../record.ts';
import type { Operator } from './operate.ts';

/** @param until milliseconds since the epoch; null: until somebody ends it */
export type HoldOrPin = Operator & { reason: string; until: number | null };

export function refuseHoldOrPin(
  { name, state }: NodeRecord,
  { until, at }: HoldOrPin,
  { what, over }: { what: string; over: string },
): Refusal | null {
  if (state === 'retired' || state === 'rejected')
    return refuse('NODE_NOT_MEMBER', `node ${name} is ${state}: no rollout touches it`);
  if (until !== null && until <= at) return refuse(over, `the ${what} of node ${name} would be over already`);
  return null;
}

/** Null: it was not said, or its time is over. */
export function inForce<T extends { until: number | null }>(one: T | null, now: number): T | null {
  return one === null || (one.until !== null && one.until <= now) ? null : one;
}

export const untilText = ({ until }: { until: number | null }) =>
  until === null ? '' : ` until ${new Date(until).toISOString().slice(0, 16)}Z`;

export function hold(record: NodeRecord, by: HoldOrPin): Outcome {
  const refused = refuseHoldOrPin(record, by, { what: 'hold', over: 'NODE_HOLD_OVER' });
  if (refused !== null) return refused;
  const { until, reason, actor, at } = by;
  const next = { by: actor, at, reason, until };
  return take(record, {
    ...{ to: record.state, at, actor, action: 'hold', reason: `held${untilText(next)}: ${reason}` },
    set: { hold: next },
  });
}

export function unhold(record: NodeRecord, { actor, at }: Operator): Outcome {
  if (record.hold === null) return { kind: 'same' };
  return take(record, {
    ...{ to: record.state, at, actor, action: 'unhold', reason: `no longer held (${record.hold.reason})` },
    set: { hold: null },
  });
}

/** Why rollouts leave it alone now; null: they do not. */
export function heldWhy({ hold }: Pick<NodeRecord, 'hold'>, now: number): string | null {
  const held = inForce(hold, now);
  return held === null ? null : `${held.by} holds it${untilText(held)}: ${held.reason}`;
}
