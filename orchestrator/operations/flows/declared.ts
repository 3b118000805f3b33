import { z } from 'zod';
import { moment, nodeWord, typed } from '../input.ts';
import { AT_SITES, atNodes, operation } from '../operation.ts';
import type { Who } from './acts.ts';

export const who = operation({
  name: 'who',
  help: 'which service of a node has sent something, when, how much, and whose it is',
  who: AT_SITES,
  nodes: ['from'],
  site: atNodes,
  input: z.strictObject({
    from: nodeWord,
    to: z.ipv4('must be an IPv4 address').optional(),
    port: z.int().min(0).max(65_535).optional(),
    protocol: z.enum(['tcp', 'udp']).optional(),
    /** Left out: now. */
    at: moment.optional(),
    /** Seconds before and after. */
    within: z
      .int()
      .min(1)
      .max(30 * 24 * 3600)
      .default(600),
  }),
  result: typed<Who>(),
  act: async () => (await import('./acts.ts')).who,
});
