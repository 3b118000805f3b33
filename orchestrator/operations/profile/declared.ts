import { z } from 'zod';
import { expectsSchema, profileSchema } from '../../fleet/hardware/profile.ts';
import type { ProfileDecision } from '../../fleet/hardware/profiles.ts';
import { nodeWord, nothing, reason, siteName, typed } from '../input.ts';
import { CORE, operation, READ } from '../operation.ts';
import type { Judged } from './acts.ts';

const which = z.strictObject({
  /** Maker and product, as `profile list` and `node show` have them. */
  model: profileSchema.shape.model.min(1),
  site: siteName.optional(),
});
const policy = profileSchema.shape.policy.default('hold');

export const list = operation({
  name: 'profile list',
  help: 'all profiles, how many nodes each is for, and which fall short',
  who: READ,
  input: nothing,
  result: typed<Judged[]>(),
  act: async () => (await import('./acts.ts')).list,
});

export const show = operation({
  name: 'profile show',
  help: 'what the machines of a model are made of',
  who: READ,
  input: which,
  result: typed<Judged>(),
  act: async () => (await import('./acts.ts')).show,
});

export const learn = operation({
  name: 'profile learn',
  help: 'make a profile of a model from a node (name, MAC, serial number or id) that is good',
  who: CORE,
  nodes: ['node'],
  input: z.strictObject({ node: nodeWord, site: siteName.optional(), policy, reason }),
  result: typed<Judged>(),
  act: async () => (await import('./acts.ts')).learn,
});

export const set = operation({
  name: 'profile set',
  help: 'make a profile of a model from a file',
  who: CORE,
  input: which.extend({ policy, expects: expectsSchema, reason }),
  result: typed<Judged>(),
  act: async () => (await import('./acts.ts')).set,
});

export const remove = operation({
  name: 'profile remove',
  help: 'take a profile away: nothing is asked of the machines of that model any more',
  who: CORE,
  input: which.extend({ reason }),
  result: typed<ProfileDecision>(),
  act: async () => (await import('./acts.ts')).remove,
});
