import { z } from 'zod';
import type { ShownTeam } from '../../../image/publish/teams.ts';
import { file, manifest, media, namesFolders, nothing, serviceWord, typed } from '../input.ts';
import { ANYONE, CORE, operation, READ } from '../operation.ts';
import type { Published } from '../service/acts.ts';

const name = z.string().min(1).max(64);
/** PEM. */
const publicKey = z.string().min(1).max(16_384);

export const key = operation({
  name: 'team key',
  help: 'make the key of a team, in a new file; its public half goes into FILE.pub',
  who: ANYONE,
  offline: 'files',
  hostOnly: true,
  input: z.strictObject({ file }),
  result: z.object({ file: z.string(), id: z.string() }),
  act: async () => (await import('./acts.ts')).key,
});

export const add = operation({
  name: 'team add',
  help: 'let a team release below a prefix; with the keys of a known one, give it these instead',
  who: CORE,
  offline: 'files',
  hostOnly: namesFolders,
  input: z.strictObject({
    name,
    prefix: z.string().min(1).max(256),
    publicKeys: z.array(publicKey).min(1).max(100),
    threshold: z.int().min(1).max(100),
    keys: media,
  }),
  result: z.object({ name: z.string(), prefix: z.string() }),
  act: async () => (await import('./acts.ts')).add,
});

export const list = operation({
  name: 'team list',
  help: 'which teams there are, and what they have released',
  who: READ,
  offline: 'files',
  input: nothing,
  result: typed<ShownTeam[]>(),
  act: async () => (await import('./acts.ts')).list,
});

export const remove = operation({
  name: 'team remove',
  help: 'take back what a team may release: nothing that it signed counts any more',
  who: CORE,
  offline: 'files',
  hostOnly: namesFolders,
  input: z.strictObject({ name, keys: media }),
  result: z.object({ name: z.string() }),
  act: async () => (await import('./acts.ts')).remove,
});

export const sign = operation({
  name: 'team sign',
  help: "sign a team's next release, where its key is; PATH=FILE for each that is added",
  who: ANYONE,
  offline: 'files',
  hostOnly: true,
  input: z.strictObject({
    add: z.array(z.strictObject({ path: z.string().min(1).max(1024), file })).max(10_000),
    without: z.array(z.string().min(1).max(1024)).max(10_000),
    last: file.nullable(),
    key: file,
    out: file,
  }),
  result: z.object({ out: z.string(), targets: z.array(z.string()) }),
  act: async () => (await import('./acts.ts')).sign,
});

export const publish = operation({
  name: 'team publish',
  help: 'publish what a team has signed: from then on nodes believe it',
  // What counts is the signature of the team.
  who: READ,
  offline: 'files',
  hostOnly: ({ bundles }) => bundles.length > 0,
  input: z.strictObject({
    name,
    /** TUF targets metadata as the team signed it. */
    metadata: z
      .string()
      .min(1)
      .max(4 * 1024 * 1024),
    /** Files on the server's machine: bundles that it names and that are not there yet. */
    bundles: z.array(file).max(100),
  }),
  /** `gone`: what it had released before and does not any more. */
  result: z.object({ name: z.string(), targets: z.array(z.string()), gone: z.array(z.string()) }),
  act: async () => (await import('./acts.ts')).publish,
});

export const release = operation({
  name: 'team release',
  help: "make a bundle of an OCI image and release it with a team's key at once; needs root",
  who: READ,
  offline: 'files',
  hostOnly: true,
  input: z.strictObject({
    service: serviceWord,
    oci: file,
    manifest,
    key: file,
  }),
  result: typed<Published>(),
  act: async () => (await import('./release.ts')).release,
});

export const withdraw = operation({
  name: 'team withdraw',
  help: "take a version of a team's service out with the team's key; its bundle is removed",
  who: READ,
  offline: 'files',
  hostOnly: true,
  input: z.strictObject({ service: serviceWord, key: file }),
  result: z.object({ service: z.string(), changed: z.boolean() }),
  act: async () => (await import('./release.ts')).withdraw,
});
