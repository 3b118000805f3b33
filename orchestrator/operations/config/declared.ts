import { z } from 'zod';
import type { NodeConfiguration } from '../../../protocol/configuration/document.ts';
import type { PublishedConfig } from '../../config/store.ts';
import { nothing, reason, typed, version } from '../input.ts';
import { CORE, operation, READ } from '../operation.ts';

export const publish = operation({
  name: 'config publish',
  help: 'give a configuration a version; it can be rolled out then, and never be changed',
  who: CORE,
  input: z.strictObject({
    /** The file, JSON (docs/configuration.md). */
    text: z.string().max(256 * 1024),
    version,
  }),
  result: typed<PublishedConfig>(),
  act: async () => (await import('./acts.ts')).publish,
});

export const list = operation({
  name: 'config list',
  help: 'all published configurations, newest first',
  who: READ,
  input: nothing,
  /** `withdrawn`: why; null: it is not. */
  result: typed<(PublishedConfig & { withdrawn: string | null })[]>(),
  act: async () => (await import('./acts.ts')).list,
});

export const show = operation({
  name: 'config show',
  help: 'what a configuration says',
  who: READ,
  input: z.strictObject({ version }),
  result: typed<Omit<PublishedConfig, 'document'> & { document: NodeConfiguration }>(),
  act: async () => (await import('./acts.ts')).show,
});

export const withdraw = operation({
  name: 'config withdraw',
  help: 'no node is brought to this configuration any more; nodes that have it keep it',
  who: CORE,
  input: z.strictObject({ version, reason }),
  /** `paused`: ids of rollouts that brought it to nodes. */
  result: z.object({ version: z.string(), changed: z.boolean(), paused: z.array(z.string()) }),
  act: async () => (await import('./acts.ts')).withdraw,
});

export const reinstate = operation({
  name: 'config reinstate',
  help: 'a configuration that was withdrawn may be rolled out again',
  who: CORE,
  input: z.strictObject({ version }),
  /** `why` it had been withdrawn. */
  result: z.object({ version: z.string(), why: z.string() }),
  act: async () => (await import('./acts.ts')).reinstate,
});
