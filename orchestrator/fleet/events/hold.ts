import { type Outcome, refuse, take } from '../outcome.ts';
import type { NodeRecord } from '../record.ts';
import type { Operator } from './operate.ts';

/** @param until milliseconds since the epoch; null: until somebody ends it */
export function hold(record: NodeRecord, by: Operator & { reason: string; until: number | null }): Outcome {
  const { until, reason, actor, at } = by;
  if (record.state === 'retired' || record.state === 'rejected')
    return refuse('NODE_NOT_MEMBER', `node ${record.name} is ${record.state}: no rollout touches it`);
  if (until !== null && until <= at)
    return refuse('NODE_HOLD_OVER', `the hold of node ${record.name} would be over already`);
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
export function heldWhy({ hold: held }: Pick<NodeRecord, 'hold'>, now: number): string | null {
  if (held === null || (held.until !== null && held.until <= now)) return null;
  return `${held.by} holds it${untilText(held)}: ${held.reason}`;
}

const untilText = ({ until }: { until: number | null }) =>
  until === null ? '' : ` until ${new Date(until).toISOString().slice(0, 16)}Z`;
