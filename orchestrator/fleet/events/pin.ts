import { type Outcome, take } from '../outcome.ts';
import type { NodeRecord } from '../record.ts';
import { type HoldOrPin, inForce, refuseHoldOrPin, untilText } from './hold.ts';
import type { Operator } from './operate.ts';

/** From now on only to this image. It restarts nothing: what the node runs, it keeps. */
export function pin(record: NodeRecord, by: HoldOrPin & { image: string }): Outcome {
  const refused = refuseHoldOrPin(record, by, { what: 'pin', over: 'NODE_PIN_OVER' });
  if (refused !== null) return refused;
  const { image, until, reason, actor, at } = by;
  const next = { by: actor, at, reason, until, image };
  return take(record, {
    ...{
      to: record.state,
      at,
      actor,
      action: 'pin',
      reason: `pinned to ${image}${untilText(next)}: ${reason}`,
    },
    set: { pin: next },
  });
}

export function unpin(record: NodeRecord, { actor, at }: Operator): Outcome {
  if (record.pin === null) return { kind: 'same' };
  const { image, reason } = record.pin;
  return take(record, {
    ...{ to: record.state, at, actor, action: 'unpin', reason: `no longer pinned to ${image} (${reason})` },
    set: { pin: null },
  });
}

/** The only image that it may be moved to now, and why; null: any. */
export function pinOf({ pin }: Pick<NodeRecord, 'pin'>, now: number): { image: string; why: string } | null {
  const found = inForce(pin, now);
  if (found === null) return null;
  const { image, by, reason } = found;
  return { image, why: `${by} pins it to ${image}${untilText(found)}: ${reason}` };
}

/**
 * What its next start from the network or its next installation brings; null: the newest. What a rollout has brought or
 * taken back goes before a pin, which restarts nothing.
 */
export const wantedImage = (record: Pick<NodeRecord, 'wanted' | 'pin'>, now: number): string | null =>
  record.wanted.image ?? pinOf(record, now)?.image ?? null;
