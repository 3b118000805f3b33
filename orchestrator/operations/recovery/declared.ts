import { z } from 'zod';
import { nothing, reason, siteName, typed } from '../input.ts';
import { CORE, operation, READ } from '../operation.ts';
import type { BreakerShown } from './acts.ts';

/** No module of the breaker is loaded here: the limits are those of `rulesSchema` (recovery/guard.ts). */
const nodes = z.int().min(1).max(100_000).optional();

export const show = operation({
  name: 'recovery show',
  help: 'whether the automation stands still, where, why, and what lets it go on',
  who: READ,
  input: nothing,
  result: typed<BreakerShown>(),
  act: async () => (await import('./acts.ts')).show,
});

export const resume = operation({
  name: 'recovery resume',
  help: 'let the automation go on where it stands still; fences and wipes (--wipes) take two people',
  who: CORE,
  fourEyes: ({ wipes }) => wipes,
  input: z.strictObject({ site: siteName.optional(), wipes: z.boolean().default(false), reason }),
  result: typed<BreakerShown>(),
  act: async () => (await import('./acts.ts')).resume,
});

export const set = operation({
  name: 'recovery set',
  help: 'ask that the automation stand still at other numbers of nodes; a second person approves it',
  who: CORE,
  fourEyes: true,
  input: z.strictObject({
    minutes: z.int().min(1).max(10_080).optional(),
    percent: z.int().min(1).max(100).optional(),
    ...{ nodes, least: nodes, fences: nodes },
    reason,
  }),
  result: typed<BreakerShown>(),
  act: async () => (await import('./acts.ts')).set,
});
