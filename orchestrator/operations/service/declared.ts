import { z } from 'zod';
import type { ReleasedService } from '../../../image/publish/services.ts';
import { nothing, typed } from '../input.ts';
import { ANYONE, CORE, operation, READ } from '../operation.ts';
import type { Published } from './acts.ts';

/** `NAME:VERSION` or `OWNER/NAME:VERSION`. */
const service = z.string().min(3).max(160);
const file = z.string().min(1).max(4096);
/** Folders with release keys on the server's machine, beside the keys folder. */
const media = z.array(file).max(100);
/** YAML or JSON. */
const manifest = z.string().max(64 * 1024);

export const publish = operation({
  name: 'service publish',
  help: 'make a bundle of an OCI image and release it with the targets keys; needs root',
  who: CORE,
  offline: 'files',
  hostOnly: true,
  input: z.strictObject({ service, oci: file, manifest, keys: media }),
  result: typed<Published>(),
  act: async () => (await import('./acts.ts')).publish,
});

export const pack = operation({
  name: 'service pack',
  help: 'make a bundle of an OCI image in a file, to be signed and published elsewhere; needs root',
  who: ANYONE,
  offline: 'files',
  hostOnly: true,
  input: z.strictObject({ service, oci: file, manifest, out: file }),
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
  input: z.strictObject({ service }),
  result: typed<ReleasedService>(),
  act: async () => (await import('./acts.ts')).inspect,
});

export const withdraw = operation({
  name: 'service withdraw',
  help: 'no node is given this version any more, and its bundle is removed',
  who: CORE,
  offline: 'files',
  hostOnly: ({ keys }) => keys.length > 0,
  input: z.strictObject({ service, keys: media }),
  result: z.object({ service: z.string(), changed: z.boolean() }),
  act: async () => (await import('./acts.ts')).withdraw,
});
