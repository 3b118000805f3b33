import { type Outcome, take } from '../outcome.ts';
import type { NodeRecord } from '../record.ts';
import type { Operator } from './operate.ts';
import { inForce, refuseWord, untilText, type Word } from './word.ts';

export function hold(record: NodeRecord, by: Word): Outcome {
  const refused = refuseWord(record, by, { what: 'hold', over: 'NODE_HOLD_OVER' });
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
