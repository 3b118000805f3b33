import { z } from 'zod';
import type { ReleasedService } from '../../../image/publish/services.ts';
import { file, manifest, media, namesFolders, nothing, serviceWord, typed } from '../input.ts';
import { ANYONE, CORE, operation, READ } from '../operation.ts';
import type { Published } from './acts.ts';

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
  help: 'which services are released, by whom, and the newest version of each',
  who: READ,
  offline: 'files',
  input: nothing,
  result: typed<{ name: string; newest: string; versions: number; by: string }[]>(),
  act: async () => (await import('./acts.ts')).list,
});

export const versions = operation({
  name: 'service versions',
  help: 'released versions of a service, newest first',
  who: READ,
  offline: 'files',
  input: z.strictObject({ name: z.string().min(1).max(96) }),
  result: typed<ReleasedService[]>(),
  act: async () => (await import('./acts.ts')).versions,
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
