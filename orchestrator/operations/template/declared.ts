import { z } from 'zod';
import type { Template } from '../../rollout/run/templates.ts';
import { nothing, templateName, typed } from '../input.ts';
import { CORE, operation, READ } from '../operation.ts';

const named = z.strictObject({ name: templateName });

export const set = operation({
  name: 'rollout template set',
  help: 'keep a spec without a version, so that everybody can start with it; or replace it',
  who: CORE,
  input: named.extend({
    /** The whole of the file. */
    text: z.string().max(1024 * 1024),
  }),
  result: typed<Template>(),
  act: async () => (await import('./acts.ts')).set,
});

export const list = operation({
  name: 'rollout template list',
  help: 'the templates that the fleet keeps',
  who: READ,
  input: nothing,
  result: typed<Template[]>(),
  act: async () => (await import('./acts.ts')).list,
});

export const show = operation({
  name: 'rollout template show',
  help: 'the text of a template, as it was set',
  who: READ,
  input: named,
  result: typed<Template>(),
  act: async () => (await import('./acts.ts')).show,
});

export const remove = operation({
  name: 'rollout template remove',
  help: 'remove a template; rollouts that were started with it go on',
  who: CORE,
  input: named,
  result: typed<Template>(),
  act: async () => (await import('./acts.ts')).remove,
});
