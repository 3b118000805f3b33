/** Which nodes a rollout is for, as far as that is decided about nodes. Pure. */
import { z } from 'zod';
import type { Place } from './place.ts';

const oneOf = z.array(z.string()).optional();
export const whoSchema = z.object({ names: oneOf, site: oneOf, rack: oneOf, role: oneOf });
export type Who = z.infer<typeof whoSchema>;

/** Names or ids; `*` stands for any run of characters. */
export function named(patterns: readonly string[], node: { id: string; name: string }): boolean {
  return patterns.some((pattern) => {
    if (!pattern.includes('*')) return pattern === node.name || pattern === node.id;
    const source = pattern.split('*').map((part) => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&'));
    // Lazy runs between literals cannot backtrack badly here: names are at most 128 characters.
    const expression = new RegExp(`^${source.join('.*?')}$`);
    return expression.test(node.name) || expression.test(node.id);
  });
}

/** Names and places of each kind that a decision keeps: with more of them it is for any node. */
const MOST = 256;

/** What of a selector rests on the place of a node; what a node shows of itself is left out. */
export function whoOf({ names, site, rack, role }: Who): Who | undefined {
  const kept = Object.entries({ names, site, rack, role }).filter(
    ([, values]) => values !== undefined && values.length <= MOST,
  );
  return kept.length === 0 ? undefined : Object.fromEntries(kept);
}

/** @param place undefined: a version before has let the node in, or nothing is known of it */
export function isFor(who: Who | undefined, id: string, place: Place | undefined): boolean {
  if (who === undefined || place === undefined) return true;
  const has = (wanted: readonly string[] | undefined, value: string | null) =>
    wanted === undefined || (value !== null && wanted.includes(value));
  return (
    (who.names === undefined || named(who.names, { id, name: place.name })) &&
    has(who.site, place.site) &&
    has(who.rack, place.rack) &&
    has(who.role, place.role)
  );
}
