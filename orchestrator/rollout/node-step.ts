/** One node of a rollout, as stored: how far it is. Times named "clock" are milliseconds of rollout time (record.ts). */
import type { Cause } from '../causes/cause.ts';
import type { Blame } from '../causes/refusal.ts';
import type { Place } from './plan.ts';

export const STEP_STATES = [
  'pending',
  'staging',
  'staged',
  'activating',
  'booted',
  'attested',
  'baking',
  'done',
  'failed',
  'rolling-back',
  'rolled-back',
  /** Without a failure of its own: everything went back. */
  'taken-back',
  'needs-recovery',
  'skipped',
] as const;
export type StepState = (typeof STEP_STATES)[number];

/** Ends of a node's step; it is free for other rollouts. */
export const FREE: readonly StepState[] = ['done', 'rolled-back', 'taken-back', 'needs-recovery', 'skipped'];

/** The states that a node is not left in: the wave waits for them. */
export const UNDER_WAY: readonly StepState[] = STEP_STATES.filter(
  (state) => state !== 'pending' && !FREE.includes(state),
);

/** States in which a node restarts, has just restarted, or is taken back. */
export const DISRUPTED: readonly StepState[] = UNDER_WAY.filter(
  (state) => state !== 'staging' && state !== 'staged',
);

export type NodeStep = {
  node: string;
  name: string;
  site: string;
  rack: string | null;
  /** Absent: none that is known. */
  services?: readonly string[];
  how: Place['how'];
  wave: number;
  position: number;
  state: StepState;
  /** Clock at which the state began; a bake that is disturbed begins again. */
  since: number;
  why: string;
  /** Version at the start of the rollout. */
  from: string | null;
  hops: readonly string[];
  /** Index of the hop that it is at. */
  hop: number;
  /** What it falls back to; its file is never overwritten. Null only for a first configuration. */
  lastGood: string | null;
  /** Epoch of the last order made for it, or the higher one that it reported. */
  epoch: number;
  term: number;
  /** Clock at which the outstanding command was sent last; null when it is still owed. */
  sent: number | null;
  attempts: number;
  /** Boot in which the outstanding hop was ordered: the new version must come from another. */
  bootBefore: string | null;
  bootId: string | null;
  /** Boot of the last report. */
  seq: number;
  running: string | null;
  /** Watched time of the last report; null before the first. */
  heard: number | null;
  reachable: boolean;
  /** It does not do its work, or not well, as the fleet last said. */
  down: boolean;
  /** Clock since which it is unhealthy; null while it is healthy. */
  sick: number | null;
  flaps: number;
  /** Number of its last touch; 0 when it was never touched. */
  touch: number;
  /** Whether it counts against the limits. */
  slot: boolean;
  /** Whether it was counted as a failure; once only. */
  failed: boolean;
  /** Why its failure was not counted; null if it was, or there is none. */
  excused: Cause | null;
  /** It was ill before its turn. */
  ill: boolean;
  /** It became unhealthy on the old version, while it waited: then it is usually not the only one. */
  fell: boolean;
  /** Whether somebody has begun to carry the outstanding command out; until then it waits in our own queue. */
  told: boolean;
  /** Its order is refused for a reason other than the version. */
  blocked: { by: 'clock' | 'rules' | 'order'; why: string; since: number } | null;
  /** How often its services were begun again, as it last said; absent: it has none of the rollout. */
  begun?: number;
  /** What its services are not up for, as it last said; absent: the version. */
  blame?: Blame;
  /** Orders in its present state that were made anew because it knew a higher epoch. */
  anew: number;
  /** Clock since which it is silent though it is done, and nobody blames the version; null: it is heard. */
  lost: number | null;
  /** Watched time since which its heartbeats are missing, for nodes of finished waves; null: they come. */
  away: number | null;
  /** It is no longer a member of the fleet. */
  left: boolean;
  /** An order of another rollout has changed it since: only that one may roll it back. */
  taken: boolean;
  /** It was let go before its restart because another rollout goes first, and comes back; absent: it was not. */
  yielded?: boolean;
};

/** It has the file, or gets it, and its turn has not come. */
export function isAhead({ slot, state }: Readonly<NodeStep>): boolean {
  return !slot && (state === 'staging' || state === 'staged');
}

/** It has the file, and waits for its turn: perhaps for hours, and like one that is pending. */
export function waitsStaged(step: Readonly<NodeStep>): boolean {
  return step.state === 'staged' && isAhead(step);
}
