import { z } from 'zod';
import { REQUEST_TIMES } from '../../operators/request.ts';
import { reason, typed } from '../input.ts';
import { CORE, operation, READ } from '../operation.ts';
import type { RequestView } from './acts.ts';

const word = z.string().min(1).max(64);

export const list = operation({
  name: 'request list',
  help: 'requests that wait or are in force, newest first',
  who: READ,
  input: z.strictObject({ all: z.boolean() }),
  result: typed<RequestView[]>(),
  act: async () => (await import('./acts.ts')).list,
});

export const show = operation({
  name: 'request show',
  help: 'one request in full: everything that a signature under it stands for',
  who: READ,
  input: z.strictObject({ request: word }),
  /** `lines`: what it is, and what it says. */
  result: typed<RequestView & { text: string; lines: [string, string][] }>(),
  act: async () => (await import('./acts.ts')).show,
});

export const approve = operation({
  name: 'request approve',
  help: 'agree, as a second person, with what was asked (its whole id), after it was shown; done at once',
  who: CORE,
  input: z.strictObject({ request: word }),
  /** `done`: what the operation that was asked for says. */
  result: typed<{ request: RequestView; done: unknown }>(),
  act: async () => (await import('./acts.ts')).approve,
});

export const deny = operation({
  name: 'request deny',
  help: 'refuse what was asked, or end a break-glass that is in force',
  who: CORE,
  input: z.strictObject({ request: word, reason }),
  result: typed<RequestView>(),
  act: async () => (await import('./acts.ts')).deny,
});

export const breakGlass = operation({
  name: 'break-glass',
  help: 'ask to do some things that only admins may, when no admin can be reached; a second person approves it',
  who: CORE,
  fourEyes: true,
  input: z.strictObject({
    minutes: z
      .int()
      .min(1)
      .max(REQUEST_TIMES.grantMost / 60_000),
    reason,
  }),
  result: z.object({}),
  prepare: async () => (await import('./acts.ts')).prepareBreakGlass,
  act: async () => (await import('./acts.ts')).breakGlass,
});
