import { z } from 'zod';
import type { NodeStep } from '../../rollout/node-step.ts';
import type { Plan } from '../../rollout/plan.ts';
import type { RolloutRecord } from '../../rollout/record.ts';
import type { RolloutEvent } from '../../rollout/run/history.ts';
import type { Progress } from '../../rollout/run/stored.ts';
import { moment, nodeWord, nothing, reason, serviceWord, templateName, typed, version } from '../input.ts';
import { CORE, operation, READ } from '../operation.ts';
import type { Listed, Look } from './acts.ts';
import type { Suspected } from './suspects.ts';

const id = z.string().min(1).max(64);
const asked = z.strictObject({
  /** The whole of a spec file (docs/rollouts.md); or the name of a template that the fleet keeps. One of the two. */
  spec: z
    .string()
    .max(1024 * 1024)
    .optional(),
  template: templateName.optional(),
  /** The version that it leaves open. */
  image: version.optional(),
  config: version.optional(),
  /** Each `NAME:VERSION`, or `NAME:none` for one that ends. */
  services: z.array(serviceWord).min(1).max(64).optional(),
});
/** Name or number, as `rollout show` has it. */
const wave = z.string().min(1).max(80);
const record = typed<RolloutRecord>();

export const plan = operation({
  name: 'rollout plan',
  help: 'what a rollout would do: every wave, every node, what is skipped and why; moves nothing',
  who: READ,
  input: asked.extend({
    /** As if this rollout had ended, or stood still. */
    supersede: id.optional(),
    preempt: id.optional(),
  }),
  result: typed<Plan>(),
  act: async () => (await import('./start.ts')).plan,
});

export const start = operation({
  name: 'rollout start',
  help: `plan a spec file and start it; 'bootwave up' carries it out`,
  who: CORE,
  input: asked.extend({
    /** Only if it is still the plan that was reviewed. */
    plan: z.string().max(128).optional(),
    /** Once this rollout is done. */
    after: id.optional(),
    /** In place of this rollout, which ends. */
    supersede: id.optional(),
    /** Before this rollout, which stands still meanwhile. */
    preempt: id.optional(),
  }),
  /** `warnings` of the plan; `later`: ids of what is to come after it. */
  result: typed<RolloutRecord & { warnings: readonly string[]; later: readonly string[] }>(),
  act: async () => (await import('./start.ts')).start,
});

export const spec = operation({
  name: 'rollout spec',
  help: 'the spec that a rollout was started with; or one for its nodes that did not get there, or for the way back',
  who: READ,
  input: z.strictObject({
    rollout: id,
    again: z.enum(['same', 'retry', 'undo']).default('same'),
    /** For the way back: the version that they had. */
    from: z
      .string()
      .min(1)
      .max(160 * 64)
      .optional(),
  }),
  result: z.strictObject({ spec: z.record(z.string(), z.unknown()) }),
  act: async () => (await import('./again.ts')).spec,
});

export const list = operation({
  name: 'rollout list',
  help: 'all rollouts, newest first',
  who: READ,
  input: nothing,
  result: typed<Listed>(),
  act: async () => (await import('./acts.ts')).list,
});

export const show = operation({
  name: 'rollout show',
  help: 'the waves and nodes of a rollout, and why each is where it is',
  who: READ,
  input: z.strictObject({ rollout: id }),
  /** `undecided`: why what Redis says of it is not what was decided; null: it is. */
  result: typed<Progress & { nodes: NodeStep[]; undecided: string | null }>(),
  act: async () => (await import('./acts.ts')).show,
});

export const watch = operation({
  name: 'rollout watch',
  help: 'follow a rollout to its end: exit code 0 when it is done, 1 when it failed or ended otherwise',
  who: READ,
  input: z.strictObject({
    rollout: id,
    /** Where the last look ended; absent: what happens from now on. */
    after: z.string().max(64).optional(),
  }),
  result: typed<Look>(),
  act: async () => (await import('./acts.ts')).watch,
});

export const history = operation({
  name: 'rollout history',
  help: 'what happened when and why, in one rollout or to one node in all of them',
  who: READ,
  input: z.strictObject({
    /** Id of a rollout, or whatever names a node. */
    of: nodeWord,
    /** Of a rollout: every step of every node, not only trouble. */
    all: z.boolean(),
  }),
  result: typed<RolloutEvent[]>(),
  act: async () => (await import('./acts.ts')).history,
});

/** What an operator does to a rollout under way. */
const step = <T extends 'pause' | 'resume' | 'abort' | 'rollback'>(type: T, help: string) =>
  operation({
    name: `rollout ${type}`,
    help,
    who: CORE,
    input: z.strictObject({ rollout: id, reason: reason.optional() }),
    result: record,
    act: async () => (await import('./acts.ts')).steps[type],
  });
export const pause = step('pause', 'start nothing more; what is under way comes to its end');
export const resume = step('resume', 'go on, and accept what has failed so far');
export const abort = step('abort', 'end it: what runs the new version keeps it');
export const rollback = step('rollback', 'end it and take back everything it touched, newest first');

export const approve = operation({
  name: 'rollout approve',
  help: 'approve its start (four eyes), or with --wave the manual gate of a wave',
  who: CORE,
  input: z.strictObject({ rollout: id, wave: wave.optional() }),
  result: record,
  act: async () => (await import('./acts.ts')).approve,
});

export const suspects = operation({
  name: 'rollout suspects',
  help: 'which recent rollout is the likely cause of what is wrong with nodes',
  who: READ,
  input: z.strictObject({ since: moment.optional() }),
  result: typed<Suspected>(),
  act: async () => (await import('./suspects.ts')).suspects,
});

export const skip = operation({
  name: 'rollout skip',
  help: 'leave out a node that has not been touched, or with --wave what is left of a wave',
  who: CORE,
  nodes: ['node'],
  input: z.strictObject({
    rollout: id,
    node: nodeWord.optional(),
    wave: wave.optional(),
    reason,
    /** Take it in again. */
    undo: z.boolean().default(false),
  }),
  result: record,
  act: async () => (await import('./acts.ts')).skip,
});

/** Nodes: `5`, or `"10%"` of them. */
const amount = z.union([
  z.int().min(0).max(100_000),
  z.string().regex(/^(?:100|\d{1,2}(?:\.\d{1,3})?)%$/, {
    error: 'must be a number of nodes or a share such as "10%"',
  }),
]);
const time = z.number().min(0).max(8.64e15).nullable();
/** What may be changed of a running rollout; what is left out stays, null takes it away. */
const editsSchema = z.strictObject({
  /** Milliseconds since the epoch. */
  notBefore: time.optional(),
  notAfter: time.optional(),
  /** Failures tolerated, as in a spec: `5` or `"10%"`. */
  budget: z.strictObject({ wave: amount.optional(), whole: amount.optional() }).optional(),
  onSpent: z.enum(['pause', 'rollback']).optional(),
  /** Nodes under way at once, in every wave; while everything goes back: on the way back. */
  whole: z.int().min(1).max(100_000).optional(),
  /** Milliseconds that the tail waits for nodes that are offline. */
  offlineWait: z.number().min(0).max(8.64e15).optional(),
  /** Whether nodes that are down already count against the limits. */
  down: z.enum(['count', 'ignore']).optional(),
});

export const edit = operation({
  name: 'rollout edit',
  help: 'change the times, the budget or the pace of one that runs; with four eyes not by its author',
  who: CORE,
  input: z.strictObject({ rollout: id, changes: editsSchema }),
  result: record,
  act: async () => (await import('./edit.ts')).edit,
});

export const promote = operation({
  name: 'rollout promote',
  help: 'let a wave pass the gate that it waits at, on your word',
  who: CORE,
  input: z.strictObject({ rollout: id, wave, reason }),
  result: record,
  act: async () => (await import('./acts.ts')).promote,
});

export const forgive = operation({
  name: 'rollout forgive',
  help: 'let a node try a version again on which it failed: plans count on it, and its next order tells it',
  who: CORE,
  nodes: ['node'],
  input: z.strictObject({ node: nodeWord, version }),
  result: z.object({ node: z.string(), name: z.string(), version: z.string(), why: z.string() }),
  act: async () => (await import('./acts.ts')).forgiveNode,
});

const floors = z.object({
  /** Version; null: there is none. */
  fleet: z.string().nullable(),
  sites: z.record(z.string(), z.string()),
});

export const floor = operation({
  name: 'rollout floor',
  help: 'the oldest image that any rollout may bring, also on the way back',
  who: CORE,
  input: z.strictObject({
    /** Null: there is to be none. */
    version: version.nullable(),
    /** It may be lowered: versions below the old floor become possible again. */
    lower: z.boolean(),
  }),
  result: floors,
  act: async () => (await import('./acts.ts')).floor,
});

export const floorShow = operation({
  name: 'rollout floor show',
  help: 'the release floors of the fleet and of its sites',
  who: READ,
  input: nothing,
  result: floors,
  act: async () => (await import('./acts.ts')).floors,
});
