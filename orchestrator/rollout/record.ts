/**
 * What a rollout is made of, as stored: a setup that never changes, one small record for the rollout, one per wave,
 * one per node. All are plain JSON. Times named "clock" are milliseconds of rollout time, which only `advance` moves
 * and which no clock of any machine can make jump.
 */
import type { Cause } from '../causes/cause.ts';
import type { Retires } from '../fleet/decisions/lives.ts';
import type { SliceWork } from '../fleet/decisions/slices.ts';
import type { Around, Counts } from './down.ts';
import type { InFlight, Limits } from './limits.ts';
import type { StepState } from './node-step.ts';
import type { Target } from './place.ts';
import type { Plan } from './plan.ts';
import type { NeedsOf } from './services.ts';
import type { Spec } from './spec.ts';

/**
 * What a rollout waits for before it is planned and started. `then`: the part before it in the same document is done;
 * `after`: another rollout is done; `supersede`: another rollout, which is asked to end, has ended; `preempt`: another rollout, which is asked to stand still meanwhile, does so.
 */
export type After = { rollout: string; how: 'then' | 'after' | 'supersede' | 'preempt' };

export type RolloutSetup = {
  id: string;
  author: string;
  /** All people who could hold the author's certificate; absent: there is none, and their name identifies them. */
  person?: readonly string[];
  /** Milliseconds since the epoch. */
  createdAt: number;
  spec: Spec;
  /** The text of the spec as a person wrote it; absent from older records. */
  source?: string;
  /** Absent: it was planned and started at once. */
  after?: After;
  /** Name of the template that it was made from; absent: none, or an older record. */
  template?: string;
  /** The decision on which it rests alone: nobody started it. Absent: somebody did. */
  retires?: Retires;
  /** The same of the work of a slice. */
  slice?: SliceWork;
  target: Target;
  limits: Limits;
  /** While everything goes back; absent: as on the way forward. */
  back?: Limits;
  /** Members of each place in the whole fleet when it was planned; absent from older records. */
  sizes?: Counts;
  pcr11: Readonly<Record<string, readonly string[]>>;
  /** What was published when it was planned; absent from older records: then no node joins late. */
  graph?: Plan['graph'];
  /** The same of services; absent: it moves none. */
  needs?: NeedsOf;
  waves: readonly {
    name: string;
    kind: 'regular' | 'tail';
    planned: number;
    /** Its nodes that can be under way at the same moment at most; absent from older records. */
    atOnce?: number;
    /** Its own; absent: those of the rollout. */
    limits?: Limits;
  }[];
};

/**
 * What of a spec may be changed while it is carried out. `whole`: nodes under way at once, in every wave; `wholeBack`: while
 * everything goes back. Null: there is none any more.
 */
export type Edits = {
  notBefore?: number | null;
  notAfter?: number | null;
  budget?: Partial<Spec['budget']>;
  onSpent?: Spec['onSpent'];
  whole?: number;
  wholeBack?: number;
  offlineWait?: number;
  /** Whether nodes that are down already count against the limits. */
  down?: Spec['limits']['down'];
};

export type RolloutStatus =
  /** It is planned and started once another one has ended (`after`): no node is in it yet. */
  | 'waiting'
  | 'planned'
  | 'awaiting-approval'
  | 'running'
  | 'paused'
  | 'rolling-back'
  | 'aborting'
  /** Every node is on the version (retired ones aside). */
  | 'done'
  /** Ended within its budget, but some nodes are not on the version: rolled back, lost, offline or skipped. */
  | 'partial'
  /** The budget was spent or a gate failed, and everything touched was rolled back. */
  | 'failed'
  /** An operator ended it. */
  | 'aborted';

export const ENDED: readonly RolloutStatus[] = ['done', 'partial', 'failed', 'aborted'];

export type RolloutRecord = {
  id: string;
  /** Goes up by one with every change: what a compare-and-set compares. */
  rev: number;
  state: RolloutStatus;
  why: string;
  /** Who caused the state: an operator, or `engine`. */
  by: string;
  /** What `resume` returns to; null unless paused. */
  before: 'running' | 'rolling-back' | null;
  /** What it waits for by itself, if it is paused for a cause other than the version; null otherwise. */
  held: { cause: Cause; why: string; since: number } | null;
  /** It stands still, paused, until `to` has ended. `rests`: no node is under way any more. `stays`: why it is paused even then. */
  yields?: { to: string; rests: boolean; stays?: { why: string; by: string } };
  /** Marks of the newest steps, so that a step of ours that is missing among them is known to be lost. */
  marks: string[];
  /** Rollout time in ms: the sum of what callers measured on monotonic clocks. */
  clock: number;
  /** Goes up when Redis may have lost writes; nodes of an older term must report before they get orders. */
  term: number;
  /** Clock until which nothing new starts after a failover. */
  resync: number;
  /** Watched time (see `deaf`) from which silence is measured at the earliest. */
  listening: number;
  /** Clock until which silence is not counted: whoever has just taken over has to ask everybody first. */
  asking: number;
  /** Milliseconds of rollout time that passed so. Clock minus this is watched time: silence is measured in it. */
  deaf: number;
  /** Milliseconds of rollout time in which nodes moved forward: no pauses, closed windows, gates or bakes of waves. Absent from older records. */
  moving?: number;
  /** Index of the wave that is open. */
  wave: number;
  inFlight: InFlight;
  /** Its nodes that are disrupted now, for other rollouts to see; absent from older records. */
  disrupted?: Counts;
  /** What else is down. */
  around: Around;
  /** What it waits for because nodes are down, by place, and the clock since which it does; absent: for nothing. */
  waits?: Readonly<Record<string, { why: string; since: number }>>;
  failures: number;
  /** Nodes that failed for a cause other than the version: not counted in any budget. */
  excused: number;
  /** Failures that an operator accepted by resuming. */
  forgiven: number;
  /** Why the budget counts as spent; null when it is not. */
  spent: string | null;
  /** Number of nodes that were told to stage so far: the newest touch is the first to be rolled back. */
  touches: number;
  /** Touches above this one are known to be rolled back. */
  undo: number;
  /** Clock since which most nodes cannot be reached; null while most can. */
  cut: number | null;
  /** Clock at which the rollback began; 0 before. */
  turned: number;
  /** What an operator has changed of the spec since it was planned. */
  edits: Edits;
  /** Nodes that left the fleet while it ran, or that another rollout took before their turn. */
  gone: number;
  approvals: { by: string; at: number; person?: readonly string[] }[];
  /** While it is `waiting`. `stalled`: a person has to say what becomes of it; `go`: a person said that it starts. */
  wait?: 'stalled' | 'go';
  /** Milliseconds since the epoch; null while it has not ended. */
  endedAt: number | null;
};

export type WaveRecord = {
  index: number;
  state: 'waiting' | 'open' | 'baking' | 'gated' | 'done';
  /** Clock at which the state began. */
  since: number;
  /** Nodes in it now; nodes may leave for the tail wave. */
  size: number;
  counts: Record<StepState, number>;
  failures: number;
  forgiven: number;
  /** First position that may still be pending. */
  next: number;
  /** Next free position. */
  end: number;
  /** An operator said that no more of its nodes start. */
  skipped: boolean;
  /** An operator accepted that it proved nothing. */
  waived: boolean;
  /** Index of the gate that is asked, how often it was asked and failed, and the clock of the last question. */
  gate: number;
  run: number;
  tries: number;
  asked: number | null;
  /** Clock of the last failed answer. */
  failedAt: number | null;
  /** Times in a row that nobody answered; absent: none. */
  away?: number;
};
