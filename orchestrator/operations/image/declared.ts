import { z } from 'zod';
import type { Manifest } from '../../../image/build/manifest.ts';
import { FIRMWARE, type Machines } from '../../../protocol/release-target.ts';
import type { ImageDiff } from '../../releases/image-diff.ts';
import { media, namesFolders, nothing, reason, typed, version } from '../input.ts';
import { CORE, operation, READ } from '../operation.ts';

const machines = {
  firmware: z.array(z.enum(FIRMWARE)).optional(),
  /** SMBIOS product names. */
  products: z.array(z.string().max(256)).max(100).optional(),
};

export const build = operation({
  name: 'image build',
  help: 'build and sign an image, and release it when the targets key is on this machine; needs root',
  who: CORE,
  offline: 'files',
  hostOnly: true,
  input: z.strictObject({
    version,
    refresh: z.boolean(),
    barrier: z.boolean().optional(),
    minSource: version.optional(),
  }),
  result: typed<Manifest>(),
  act: async () => (await import('./build.ts')).build,
});

export const publish = operation({
  name: 'image publish',
  help: 'release a built image with the targets keys: from then on nodes may install it',
  who: CORE,
  offline: 'files',
  hostOnly: namesFolders,
  input: z.strictObject({ version, keys: media, ...machines }),
  result: typed<{ version: string; sha256: string; machines: Machines }>(),
  act: async () => (await import('./acts.ts')).publish,
});

export const list = operation({
  name: 'image list',
  help: 'published images, newest first',
  who: READ,
  offline: 'files',
  input: nothing,
  result: typed<(Manifest & { released: boolean })[]>(),
  act: async () => (await import('./acts.ts')).list,
});

export const diff = operation({
  name: 'image diff',
  help: 'what changes from one image to another: packages, kernel, size, and vulnerabilities that go or come',
  who: READ,
  offline: 'files',
  input: z.strictObject({ from: version, to: version }),
  result: typed<ImageDiff>(),
  act: async () => (await import('./acts.ts')).diff,
});

export const advisories = operation({
  name: 'image advisories',
  help: "import what Debian's security tracker says of the packages in published images",
  who: CORE,
  input: z.strictObject({
    /** Source package to CVE to the version with the fix, or null; checked when it is performed. */
    packages: z.record(z.string().max(128), z.record(z.string().max(20), z.string().max(128).nullable())),
  }),
  /** `open`: of the newest published image; null when it says nothing of its source packages. */
  result: z.object({ packages: z.number(), cves: z.number(), open: z.number().nullable() }),
  act: async () => (await import('./acts.ts')).importAdvisories,
});

export const withdrawn = operation({
  name: 'image withdrawn',
  help: 'published images that new hardware is not given, and why: rollouts took them back',
  who: READ,
  input: nothing,
  /** Version to reason. */
  result: z.record(z.string(), z.string()),
  act: async () => (await import('./acts.ts')).withdrawn,
});

export const withdraw = operation({
  name: 'image withdraw',
  help: 'no node is given this image or goes back to it any more; nodes that run it keep it',
  who: CORE,
  hostOnly: namesFolders,
  input: z.strictObject({ version, keys: media, reason }),
  result: z.object({ version: z.string(), changed: z.boolean() }),
  act: async () => (await import('./acts.ts')).withdrawImage,
});

export const reinstate = operation({
  name: 'image reinstate',
  help: 'nodes and new hardware are given this image again; say for which machines, as before',
  who: CORE,
  hostOnly: namesFolders,
  input: z.strictObject({ version, keys: media, ...machines }),
  /** `why` it had been withdrawn. */
  result: z.object({ version: z.string(), why: z.string() }),
  act: async () => (await import('./acts.ts')).reinstateImage,
});
