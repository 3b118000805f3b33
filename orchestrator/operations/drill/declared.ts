import { z } from 'zod';
import { DRILLS, EVERY, reportSchema, SCHEDULED } from '../../recovery/report.ts';
import {
  backupFiles,
  moment,
  nodeWord,
  nothing,
  reason,
  serviceWord,
  siteName,
  typed,
  version,
} from '../input.ts';
import { ANYONE, CORE, operation, READ } from '../operation.ts';
import type { DrillShown } from './acts.ts';
import type { Begun } from './recovery.ts';
import type { BegunRollback } from './rollback.ts';
import type { ScheduleShown } from './schedule.ts';

export const recovery = operation({
  name: 'drill recovery',
  help: 'fence, wipe and bring back one healthy node, to see that it can be done and how long each step takes',
  who: CORE,
  nodes: ['node'],
  /** The node, or the site of which the server picks one. */
  input: z
    .strictObject({ node: nodeWord.optional(), site: siteName.optional(), reason })
    .refine(({ node, site }) => (node === undefined) !== (site === undefined), {
      error: 'takes a node, or the site of which one is picked',
    }),
  result: typed<Begun>(),
  act: async () => (await import('./recovery.ts')).begin,
});

export const rollback = operation({
  name: 'drill rollback',
  help: 'move one node to a version that is meant to fail, to see that it comes back by itself and how long each step takes',
  who: CORE,
  nodes: ['node'],
  input: z
    .strictObject({ node: nodeWord, image: version.optional(), service: serviceWord.optional(), reason })
    .refine(({ image, service }) => (image === undefined) !== (service === undefined), {
      error: 'takes an image, or a version of a service, that is meant to fail',
    }),
  result: typed<BegunRollback>(),
  act: async () => (await import('./rollback.ts')).begin,
});

export const restore = operation({
  name: 'drill restore',
  help: 'try a backup: restore it into a folder of its own, start a server on it that reaches nobody, and remove both',
  who: ANYONE,
  offline: 'files',
  hostOnly: true,
  input: z.strictObject({
    ...backupFiles,
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
  input: z.strictObject({ report: reportSchema.extend({ kind: z.literal('restore'), site: z.null() }) }),
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

/** Of a schedule: of a site, or, as the restores of all of it are, of none. */
const which = z
  .strictObject({ kind: z.enum(SCHEDULED), site: siteName.nullable(), reason })
  .refine(({ kind, site }) => (kind === 'restore') === (site === null), {
    error: 'takes a site, but for restores, which are of the whole fleet',
  });
const hour = z.int().min(0).max(24);

export const schedule = operation({
  name: 'drill schedule',
  help: 'have a drill begin by itself, again and again; a second person approves what takes nodes',
  who: CORE,
  fourEyes: ({ kind }) => kind !== 'restore',
  input: which.safeExtend({
    /** Milliseconds from the start of one to that of the next. */
    every: z.int().min(EVERY.least).max(EVERY.most),
    /** Of the day in UTC, within which it begins: from, to. */
    hours: z.tuple([hour, hour]).refine(([from, to]) => from < to, { error: 'ends before it begins' }),
  }),
  result: typed<ScheduleShown[]>(),
  act: async () => (await import('./schedule.ts')).set,
});

export const unschedule = operation({
  name: 'drill unschedule',
  help: 'have no drill of this kind begin by itself any more; one that is under way goes on',
  who: CORE,
  input: which,
  result: typed<ScheduleShown[]>(),
  act: async () => (await import('./schedule.ts')).remove,
});

export const schedules = operation({
  name: 'drill schedules',
  help: 'which drills begin by themselves, when, and why one that is due does not',
  who: READ,
  input: nothing,
  result: typed<ScheduleShown[]>(),
  act: async () => (await import('./schedule.ts')).list,
});
