import { z } from 'zod';
import { DRILLS, reportSchema } from '../../recovery/report.ts';
import { file, moment, nodeWord, reason, typed } from '../input.ts';
import { ANYONE, CORE, operation, READ } from '../operation.ts';
import type { Started } from '../recovery/plans.ts';
import type { DrillShown } from './acts.ts';

export const recovery = operation({
  name: 'drill recovery',
  help: 'fence, wipe and bring back one healthy node, to see that it can be done and how long each step takes',
  who: CORE,
  nodes: ['node'],
  input: z.strictObject({ node: nodeWord, reason }),
  result: typed<Started>(),
  act: async () => (await import('../recovery/plans.ts')).drill,
});

export const restore = operation({
  name: 'drill restore',
  help: 'restore a backup beside everything, have a server come up on it that reaches nobody, and remove it again',
  who: ANYONE,
  offline: 'files',
  hostOnly: true,
  input: z.strictObject({
    from: file,
    /** File with age's private key. */
    key: file,
    /** SHA-256 of the fleet's root certificate, hex. */
    fleet: z.string().regex(/^[0-9a-f]{64}$/),
    /** An older one is a fault. */
    after: moment.optional(),
  }),
  result: reportSchema,
  act: async () => (await import('./restore.ts')).drill,
});

export const note = operation({
  name: 'drill note',
  help: 'put the report of a restore that was drilled elsewhere on record',
  who: CORE,
  input: z.strictObject({ report: reportSchema.extend({ kind: z.literal('restore') }) }),
  result: typed<DrillShown>(),
  act: async () => (await import('./acts.ts')).note,
});

export const list = operation({
  name: 'drill list',
  help: 'the drills that were, newest first, what became of them, and how long they took',
  who: READ,
  input: z.strictObject({ kind: z.enum(DRILLS).optional() }),
  result: typed<DrillShown[]>(),
  act: async () => (await import('./acts.ts')).list,
});

export const show = operation({
  name: 'drill show',
  help: 'one drill: each step beside what it usually takes, and what was seen',
  who: READ,
  input: z.strictObject({ drill: z.string().min(1).max(64) }),
  result: typed<DrillShown>(),
  act: async () => (await import('./acts.ts')).show,
});
