import { createHash } from 'node:crypto';
import type { Plan } from './plan.ts';

/**
 * A hash of what a person has reviewed: which node changes when, by which path and within which limits. The time of
 * planning and values that change by themselves (epochs, boots) are no part of it.
 * @returns 12 hex digits
 */
export function planHash({ spec, target, waves, limits, later }: Plan): string {
  const moves = waves.map(({ name, kind, places }) => [
    ...[name, kind],
    places.map(({ node, from, hops, how }) => [node, from, hops, how]),
  ]);
  const sorted = (counts: Readonly<Record<string, number>>) =>
    Object.entries(counts).sort(([a], [b]) => (a < b ? -1 : 1));
  const bounds = [limits.whole, sorted(limits.site), sorted(limits.rack)];
  return createHash('sha256')
    .update(JSON.stringify([spec, target, moves, bounds, ...(later === undefined ? [] : [later])]))
    .digest('hex')
    .slice(0, 12);
}
