import type { Blame } from '../causes/refusal.ts';
import type { Counts } from './down.ts';
import type { NodeStep } from './node-step.ts';
import type { Target } from './place.ts';
import type { Place } from './plan.ts';
import type { Edits, RolloutRecord, WaveRecord } from './record.ts';
import type { Instances } from './services.ts';

/** What a node reports about itself, as passed on by the receiving code. */
export type Report = {
  /**
   * Numbered where it is received, strictly upwards per node, so that a late or repeated delivery is told from news.
   */
  seq: number;
  bootId: string;
  /** Image that runs. */
  image: string;
  /** Configuration that is applied. */
  config: string | null;
  /** Highest order epoch that it ever accepted, kept by the node itself. */
  epoch: number;
  healthy: boolean;
  /** Why it is not. */
  reason: string;
  /** Services that it runs, and whether each is healthy; null: it says nothing of them. */
  services: Readonly<Record<string, boolean>> | null;
  /** The same with their versions, by full name; absent: its image knows no services. */
  instances?: Instances;
  /** Versions whose files are on its disk; absent: it has none, or is not asked. */
  files?: readonly string[];
  /** Versions that it tried, fell back from and refuses. */
  failed: readonly string[];
};

/**
 * Why a node refused a command. `stale-epoch`: it accepted `has` already. `other-boot`: it restarted since.
 * `refuses-version`: it failed on it before. `cannot`: no space, bad digest, no download; worth another try.
 */
export type CommandRefusal = 'stale-epoch' | 'other-boot' | 'refuses-version' | 'cannot';

export type NodeEvent =
  | { type: 'report'; node: string; report: Report }
  | { type: 'staged'; node: string; epoch: number }
  | {
      type: 'refused';
      node: string;
      epoch: number;
      code: CommandRefusal;
      why: string;
      has: number;
      blame?: Blame;
    }
  /** The command is being carried out now: until then it waited in our own queue. */
  | { type: 'begun'; node: string; epoch: number }
  /** What the fleet knows, from heartbeats, about a node that is done, or waits with its file. */
  | { type: 'seen'; node: string; as: 'silent' | 'ill' | 'well' }
  /** Another rollout has it. */
  | { type: 'taken'; node: string; by: string }
  /** The boot server's verdict on the quote of that boot, which says that it runs `image`. */
  | { type: 'attested'; node: string; bootId: string; image: string; ok: boolean; why: string }
  /** Its image knows nothing of what the rollout brings. */
  | { type: 'unfit'; node: string; why: string }
  | { type: 'reachable'; node: string }
  | { type: 'unreachable'; node: string }
  /** Retired or quarantined: no longer this rollout's. */
  | { type: 'removed'; node: string; why: string }
  | { type: 'joined'; place: Place };

export type OperatorEvent =
  | { type: 'start'; by: string }
  /**
   * Without a wave: approval of the start. With one: of its manual gate. `person`: all people who could hold the
   * approver's certificate; absent: there is none.
   */
  | { type: 'approve'; by: string; person?: readonly string[]; wave?: number }
  | { type: 'pause'; by: string; why: string }
  | { type: 'resume'; by: string }
  /** Past the gate that the wave waits at, because a person says so. `person`: as of `approve`. */
  | { type: 'promote'; by: string; person?: readonly string[]; why: string; wave: number }
  /** Takes back a `skip`, of a node or of a wave. */
  | { type: 'include'; by: string; node: string }
  | { type: 'include-wave'; by: string; wave: number }
  /** The parts of the spec that change from now on. */
  | { type: 'edit'; by: string; person?: readonly string[]; changes: Edits }
  | { type: 'skip'; by: string; why: string; node: string }
  | { type: 'skip-wave'; by: string; why: string; wave: number }
  | { type: 'abort'; by: string; why: string }
  | { type: 'rollback'; by: string; why: string }
  /** It ends, so that this one takes its place. */
  | { type: 'supersede'; by: string; with: string }
  /** It stands still, so that this one goes first. */
  | { type: 'preempt'; by: string; with: string }
  /** Why it does not start yet; `stalled`: nor by itself. */
  | { type: 'wait'; by: string; why: string; stalled: boolean }
  /** Its turn has come, and nothing is left to do. */
  | { type: 'close'; by: string; why: string };

export type EngineEvent =
  | NodeEvent
  | OperatorEvent
  | { type: 'tick' }
  /** The one that went first has ended. `taken`: which of those that waited belong to another rollout by now, or run what that brought. */
  | { type: 'proceed'; of: string; taken: readonly { node: string; by: string }[] }
  /** What the fleet says is down. */
  | {
      type: 'around';
      /** Number of the last step by which any rollout took nodes down, read before all else. */
      fence: number;
      /** Nodes of this rollout that are down and not disrupted by another one. */
      down: readonly string[];
      /** All others, and those that other rollouts disrupt, in the places of this one. */
      others: Counts;
      /** Members of these places. */
      of: Counts;
    }
  | { type: 'gate'; wave: number; gate: number; run: number; ok: boolean; why: string; away?: boolean }
  /** This orchestrator has just taken over, or was not listening: what silence there was goes on only after all were asked. */
  | { type: 'takeover' }
  /**
   * Redis failed over or was restored and may have lost writes. `term` is above every one used before, which the
   * records themselves may have forgotten: seconds since the epoch will do (1 to 2^42).
   */
  | { type: 'failover'; term: number };

export type Input = {
  /** Wall clock, ms since the epoch. Only windows look at it. */
  at: number;
  /**
   * Milliseconds on a monotonic clock since the caller loaded or last advanced exactly this revision; 0 when unknown.
   * Measured so, several orchestrators can never count the same second twice.
   */
  elapsed: number;
  events: readonly EngineEvent[];
  /** Text that no other step has, so that a lost step is noticed. */
  mark?: string;
};

/**
 * What is to be done to one node. The same epoch always means the same effect, so it may be carried out any number of times.
 */
export type NodeCommand = { rollout: string; node: string; epoch: number; of: Target['of'] } & (
  | {
      kind: 'stage';
      how: 'disk' | 'network';
      version: string;
      /** The version whose file must be neither overwritten nor dropped. */
      keep: string | null;
    }
  | {
      kind: 'activate';
      how: 'disk' | 'network';
      version: string;
      /** Only from this boot: a node that restarted since must report first. */
      bootId: string | null;
    }
  | {
      kind: 'rollback';
      how: 'disk' | 'network';
      /** The last good version; null means without configuration. */
      version: string | null;
      /** The version to demote and forget. */
      drop: string;
    }
);
export type Command =
  | NodeCommand
  /** Ask an outside check, which the setup names; the same run may be asked again, its first answer counts. */
  | { kind: 'gate'; rollout: string; wave: number; gate: number; run: number };

/** One line for the audit stream. */
export type Note = {
  what: 'rollout' | 'wave' | 'node';
  id: string;
  from: string;
  to: string;
  why: string;
  by: string;
};

export type OperatorRefusal = { code: string; what: string; next: string };

/** What changed and what is to be done: to be written by one compare-and-set on `rev`, commands in the same outbox. */
export type Step = {
  changed: boolean;
  rollout: RolloutRecord;
  waves: WaveRecord[];
  nodes: NodeStep[];
  commands: Command[];
  notes: Note[];
  /**
   * It takes nodes down because of what was seen of others, and only holds if none of them has done so since. `unseen`: it
   * takes nodes down whatever others do, and they have to look again. Null: it takes none down.
   */
  fence: number | 'unseen' | null;
  /** Operator events that could not be carried out; they changed nothing. */
  refusals: OperatorRefusal[];
};
