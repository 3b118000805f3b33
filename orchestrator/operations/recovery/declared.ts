import { z } from 'zod';
import type { Started } from '../../recovery/begin.ts';
import { AT_ONCE, MOST_NODES, rulesSchema } from '../../recovery/rules.ts';
import { nothing, reason, siteName, typed } from '../input.ts';
import { CORE, operation, READ } from '../operation.ts';
import type { BreakerShown } from './acts.ts';
import type { Drafted, PlanShown } from './plans.ts';

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
  help: 'ask for other numbers of nodes at which the automation stands still; a second person approves it',
  who: CORE,
  fourEyes: true,
  input: rulesSchema.partial().extend({ reason }),
  result: typed<BreakerShown>(),
  act: async () => (await import('./acts.ts')).set,
});

const place = z.strictObject({ site: siteName, rack: z.string().min(1).max(63).optional() });

export const plan = operation({
  name: 'recovery plan',
  help: 'which nodes of a site, or of a rack of it, would be fenced, wiped and brought back, in which order; nothing is done',
  who: READ,
  input: place,
  result: typed<Drafted>(),
  act: async () => (await import('./plans.ts')).draft,
});

export const start = operation({
  name: 'recovery start',
  help: 'ask that these nodes be fenced, wiped and brought back, a few at a time; a second person approves it',
  who: CORE,
  fourEyes: true,
  input: place.extend({
    /** Ids; filled in when it is asked for: two people agree to these nodes. */
    nodes: z.array(z.string().min(1).max(128)).max(MOST_NODES).optional(),
    /** Nodes under way at once. */
    atOnce: z.int().min(1).max(AT_ONCE.most).optional(),
    reason,
  }),
  result: typed<Started>(),
  prepare: async () => (await import('./plans.ts')).prepareStart,
  act: async () => (await import('./plans.ts')).start,
});

export const plans = operation({
  name: 'recovery plans',
  help: 'recovery plans and drills, and what became of each node',
  who: READ,
  input: nothing,
  result: typed<PlanShown[]>(),
  act: async () => (await import('./plans.ts')).list,
});

export const stop = operation({
  name: 'recovery stop',
  help: 'have a plan begin no other node; those under way come back',
  who: CORE,
  input: z.strictObject({ plan: z.string().min(1).max(64), reason }),
  result: typed<PlanShown>(),
  act: async () => (await import('./plans.ts')).stop,
});
