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
  /** The other one is asked to stand still. */
  | { do: 'yield' }
  | { do: 'start' }
  /** Not by itself: a person decides. */
  | { do: 'stall'; why: string }
  /** It ends with the other one; `by` is who ended that. */
  | { do: 'drop'; why: string; by: string };

type Prior = Pick<RolloutRecord, 'state' | 'before' | 'by' | 'yields'>;

/**
 * @param prior the one that it waits for; null: there is no record of it any more
 * @param own its own id, and its word, see RolloutRecord
 */
export function nextOf(
  { rollout, how }: After,
  prior: Prior | null,
  { id, wait }: { id?: string; wait?: RolloutRecord['wait'] | undefined } = {},
): Next {
  if (wait === 'stalled') return { do: 'wait' };
  if (wait === 'go') return { do: 'start' };
  if (prior === null) return stall(`there is no rollout ${rollout} any more`);
  const { state, by } = prior;
  if (how === 'preempt' && !ENDED.includes(state)) {
    const { yields } = prior;
    if (yields !== undefined) return { do: yields.to === id && yields.rests ? 'start' : 'wait' };
    return { do: isGoingForward(prior) ? 'yield' : 'wait' };
  }
  if (!ENDED.includes(state)) {
    const mayEnd = how === 'supersede' && state !== 'aborting' && !isGoingBack(prior);
    return { do: mayEnd ? 'end' : 'wait' };
  }
  if (how === 'supersede' || how === 'preempt' || state === 'done') return { do: 'start' };
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
  if (after?.how === 'supersede' || after?.how === 'preempt') return own.approvals;
  if (prior?.state !== 'done') return [];
  return after?.how === 'then' ? prior.approvals : own.approvals;
}

const stall = (what: string): Next => ({ do: 'stall', why: `${what}: ${SAY}` });

/** What a person can do about one that does not start by itself. */
export const SAY = "'rollout resume' starts it, 'rollout abort' drops it";

export const isGoingBack = ({ state, before }: Pick<RolloutRecord, 'state' | 'before'>): boolean =>
  state === 'rolling-back' || (state === 'paused' && before === 'rolling-back');

export const isGoingForward = ({ state, before }: Pick<RolloutRecord, 'state' | 'before'>): boolean =>
  state === 'running' || (state === 'paused' && before === 'running');

const UNTIL: Partial<Record<After['how'], string>> = {
  supersede: 'has ended, and takes its place',
  preempt: 'stands still, and goes first',
};

/** Nobody's records yet but its own: nodes and waves are planned when its turn comes. */
export function waitingRollout(
  spec: Spec,
  options: Parameters<typeof createRollout>[1] & { after: After },
): RolloutState {
  const plan = { spec, target: targetOf(spec), limits: resolveLimits(spec.limits, []), pcr11: {}, waves: [] };
  const state = createRollout(plan, options);
  const { rollout, how } = options.after;
  state.rollout = {
    ...state.rollout,
    state: 'waiting',
    why: `waits until ${rollout} ${UNTIL[how] ?? 'is done'}`,
  };
  return state;
}
