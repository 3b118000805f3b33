import { z } from 'zod';
import type { ReleasedService } from '../../../image/publish/services.ts';
import type { Stand } from '../../services/capacity.ts';
import {
  file,
  manifest,
  media,
  moment,
  namesFolders,
  nothing,
  reason,
  serviceWord,
  siteName,
  templateName,
  typed,
} from '../input.ts';
import { ANYONE, CORE, operation, READ } from '../operation.ts';
import type { Published } from './acts.ts';
import type { Decided } from './life.ts';
import type * as Shown from './shown.ts';

export const publish = operation({
  name: 'service publish',
  help: 'make a bundle of an OCI image and release it with the targets keys; needs root',
  who: CORE,
  offline: 'files',
  hostOnly: true,
  input: z.strictObject({ service: serviceWord, oci: file, manifest, keys: media }),
  result: typed<Published>(),
  act: async () => (await import('./acts.ts')).publish,
});

export const build = operation({
  name: 'service build',
  help: "build one of the fleet's own services from Debian's packages, and release it; needs root",
  who: CORE,
  offline: 'files',
  hostOnly: true,
  input: z.strictObject({ name: z.string().min(1).max(64), keys: media }),
  result: typed<Published>(),
  act: async () => (await import('./acts.ts')).build,
});

export const pack = operation({
  name: 'service pack',
  help: 'make a bundle of an OCI image in a file, to be signed and published elsewhere; needs root',
  who: ANYONE,
  offline: 'files',
  hostOnly: true,
  input: z.strictObject({ service: serviceWord, oci: file, manifest, out: file }),
  result: typed<Published & { target: string }>(),
  act: async () => (await import('./acts.ts')).pack,
});

export const list = operation({
  name: 'service list',
  help: 'which services there are, the newest version of each, and how many nodes are to run them',
  who: READ,
  offline: 'records',
  input: nothing,
  result: typed<Awaited<ReturnType<typeof Shown.list>>>(),
  act: async () => (await import('./shown.ts')).list,
});

export const versions = operation({
  name: 'service versions',
  help: 'versions of a service, newest first: where each is in its life, and how many nodes run it',
  who: READ,
  offline: 'records',
  input: z.strictObject({ name: z.string().min(1).max(96) }),
  result: typed<Shown.Version[]>(),
  act: async () => (await import('./shown.ts')).versions,
});

const one = z.strictObject({ service: serviceWord });

export const show = operation({
  name: 'service show',
  help: 'the life of a version: what was decided, which nodes run it, and what depends on it',
  who: READ,
  offline: 'records',
  input: one,
  result: typed<Shown.Shown>(),
  act: async () => (await import('./shown.ts')).show,
});

const said = one.extend({ reason: reason.optional() });

export const preview = operation({
  name: 'service preview',
  help: 'make a version a preview: only a rollout that says that it brings previews brings it',
  who: CORE,
  input: said,
  result: typed<Decided>(),
  act: async () => (await import('./life.ts')).preview,
});

export const promote = operation({
  name: 'service promote',
  help: 'make a version current: rollouts bring it, and what was said of its end is taken back',
  who: CORE,
  input: said,
  result: typed<Decided>(),
  act: async () => (await import('./life.ts')).promote,
});

export const deprecate = operation({
  name: 'service deprecate',
  help: 'deprecate a version: plans that bring it warn',
  who: CORE,
  input: said.extend({ successor: serviceWord.optional() }),
  result: typed<Decided>(),
  act: async () => (await import('./life.ts')).deprecate,
});

export const retire = operation({
  name: 'service retire',
  help: 'retire a version: from a day on no rollout brings it, and its nodes move to its successor by themselves',
  who: CORE,
  input: said.extend({
    successor: serviceWord,
    /** From when on it is obsolete. */
    on: moment,
    /** Of the rollout that brings its nodes to the successor. */
    template: templateName.optional(),
    /** Only whom it concerns; nothing is decided. */
    dryRun: z.boolean().default(false),
  }),
  result: typed<Decided>(),
  act: async () => (await import('./life.ts')).retire,
});

export const inspect = operation({
  name: 'service inspect',
  help: 'a released version: its manifest, its root hash, who released it and until when that counts',
  who: READ,
  offline: 'files',
  input: z.strictObject({ service: serviceWord }),
  result: typed<ReleasedService>(),
  act: async () => (await import('./acts.ts')).inspect,
});

export const withdraw = operation({
  name: 'service withdraw',
  help: 'no node is given this version any more, and its bundle is removed',
  who: CORE,
  offline: 'files',
  hostOnly: namesFolders,
  input: z.strictObject({ service: serviceWord, keys: media }),
  result: z.object({ service: z.string(), changed: z.boolean() }),
  act: async () => (await import('./acts.ts')).withdraw,
});

const capacity = z.strictObject({ service: z.string().min(1).max(96), site: siteName.optional(), reason });

export const capacityList = operation({
  name: 'service capacity list',
  help: 'how many nodes each service needs, and how many are well',
  who: READ,
  input: nothing,
  result: typed<Stand[]>(),
  act: async () => (await import('./capacity.ts')).list,
});

export const capacitySet = operation({
  name: 'service capacity set',
  help: 'say how many healthy nodes a service needs: the automation leaves it at least these',
  who: CORE,
  input: capacity.extend({ least: z.int().min(1).max(100_000) }),
  result: typed<Stand[]>(),
  act: async () => (await import('./capacity.ts')).set,
});

export const capacityRemove = operation({
  name: 'service capacity remove',
  help: 'remove the number of nodes that a service needs',
  who: CORE,
  input: capacity,
  result: typed<Stand[]>(),
  act: async () => (await import('./capacity.ts')).remove,
});
