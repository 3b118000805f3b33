/** Numbers that people give the automation, and their limits. Declarations load it: it needs nothing but zod. */
import { z } from 'zod';

export const SEVERITIES = ['critical', 'serious', 'minor'] as const;

const nodes = z.int().min(1).max(100_000);

export const rulesSchema = z.strictObject({
  /** Minutes within which signals count together. */
  minutes: z.int().min(1).max(10_080),
  /** Nodes of the whole fleet with signals, beyond which it stands still. */
  nodes,
  /** Percent of a site's nodes, beyond which it stands still there; `least`: so many nodes are never too many. */
  percent: z.int().min(1).max(100),
  least: nodes,
  /** Nodes that signals fence within that time, in the whole fleet. */
  fences: nodes,
});
export type BreakerRules = z.infer<typeof rulesSchema>;
export const USUAL: BreakerRules = { minutes: 60, nodes: 10, percent: 20, least: 2, fences: 5 };

/** Nodes of a plan that are under way at once, each of which draws an image from its boot server. */
export const AT_ONCE = { usual: 4, most: 16 } as const;
/** Nodes of one plan: the decision names each. */
export const MOST_NODES = 2_000;
