import { z } from 'zod';
import { nothing, typed } from '../input.ts';
import { ADMIN, ANYONE, CORE, operation, READ } from '../operation.ts';
import type { ShownLease } from './acts.ts';

export const check = operation({
  name: 'bootserver check',
  help: 'read the file and name every line that is wrong; nothing is changed',
  who: ANYONE,
  offline: 'files',
  hostOnly: true,
  input: z.strictObject({ file: z.string().min(1).max(4096) }),
  result: z.object({ file: z.string(), interfaces: z.array(z.string()) }),
  act: async () => (await import('./acts.ts')).check,
});

/** Also under break-glass: what the server reads is a file that root wrote. */
export const reload = operation({
  name: 'bootserver reload',
  help: 'the running server reads its file again, without losing a lease; refused as a whole when it is wrong',
  who: ADMIN,
  breakGlass: true,
  input: nothing,
  result: z.object({ reloaded: z.boolean() }),
  act: async () => (await import('./acts.ts')).reload,
});

export const deaf = operation({
  name: 'bootserver deaf',
  help: 'the interfaces on which the running server hears nothing now, and why',
  who: READ,
  input: nothing,
  result: z.array(z.object({ interface: z.string(), why: z.string() })),
  act: async () => (await import('./acts.ts')).deafNow,
});

export const list = operation({
  name: 'lease list',
  help: 'every address in use, and those that rest because another machine uses them',
  who: READ,
  input: nothing,
  result: typed<ShownLease[]>(),
  act: async () => (await import('./acts.ts')).list,
});

export const end = operation({
  name: 'lease end',
  help: 'give an address back: a lease that nobody needs, or one that rests after a conflict',
  who: CORE,
  input: z.strictObject({ address: z.string().min(1).max(64) }),
  result: z.object({ address: z.string(), ended: z.boolean() }),
  act: async () => (await import('./acts.ts')).end,
});
