/** A rollout that waits until another one has ended. Pure. */
import { resolveLimits } from './limits.ts';
import { targetOf } from './place.ts';
import { type After, ENDED, type RolloutRecord } from './record.ts';
import type { Spec } from './spec.ts';
import { createRollout, type RolloutState } from './state.ts';

/** What is done about a rollout that waits. */
export type Next =
  | { do: 'wait' }
  /** The other one is asked to end. */
  | { do: 'end' }
  | { do: 'start' }
  /** Not by itself: a person decides. */
  | { do: 'stall'; why: string }
  /** It ends with the other one; `by` is who ended that. */
  | { do: 'drop'; why: string; by: string };

type Prior = Pick<RolloutRecord, 'state' | 'before' | 'by'>;

/**
 * @param prior the one that it waits for; null: there is no record of it any more
 * @param wait its own word, see RolloutRecord
 */
export function nextOf({ rollout, how }: After, prior: Prior | null, wait?: RolloutRecord['wait']): Next {
  if (wait === 'stalled') return { do: 'wait' };
  if (wait === 'go') return { do: 'start' };
  if (prior === null) return stall(`there is no rollout ${rollout} any more`);
  const { state, by } = prior;
  if (!ENDED.includes(state)) {
    const mayEnd = how === 'supersede' && state !== 'aborting' && !isGoingBack(prior);
    return { do: mayEnd ? 'end' : 'wait' };
  }
  if (how === 'supersede' || state === 'done') return { do: 'start' };
  const why = `${rollout} ended as ${state}`;
  return state === 'aborted' ? { do: 'drop', why, by } : stall(why);
}

/**
 * The approvals that it starts with. Who approves a document approves all of it, as long as each part is done: they did
 * not agree to what a person starts after anything else.
 */
export function approvalsFor(
  after: After | undefined,
  prior: Pick<RolloutRecord, 'state' | 'approvals'> | null,
  own: Pick<RolloutRecord, 'approvals'>,
): RolloutRecord['approvals'] {
  if (after?.how === 'supersede') return own.approvals;
  if (prior?.state !== 'done') return [];
  return after?.how === 'then' ? prior.approvals : own.approvals;
}

const stall = (what: string): Next => ({ do: 'stall', why: `${what}: ${SAY}` });

/** What a person can do about one that does not start by itself. */
export const SAY = "'rollout resume' starts it, 'rollout abort' drops it";

export const isGoingBack = ({ state, before }: Pick<RolloutRecord, 'state' | 'before'>): boolean =>
  state === 'rolling-back' || (state === 'paused' && before === 'rolling-back');

/** Nobody's records yet but its own: nodes and waves are planned when its turn comes. */
export function waitingRollout(
  spec: Spec,
  options: Parameters<typeof createRollout>[1] & { after: After },
): RolloutState {
  const plan = { spec, target: targetOf(spec), limits: resolveLimits(spec.limits, []), pcr11: {}, waves: [] };
  const state = createRollout(plan, options);
  const { rollout, how } = options.after;
  const until = how === 'supersede' ? 'has ended, and takes its place' : 'is done';
  state.rollout = { ...state.rollout, state: 'waiting', why: `waits until ${rollout} ${until}` };
  return state;
}
