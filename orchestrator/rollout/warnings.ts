/** What a person should know of a plan that is made all the same. */
import type { Disruption } from './disruption.ts';
import { aroundOf, type Counts, heldBy, isDown } from './down.ts';
import { limitsSpecOf } from './limits.ts';
import type { Candidate } from './place.ts';
import type { Spec } from './spec.ts';
import { byText } from './spread.ts';

/** @param warnings are added to */
export function warnDown(warnings: string[], moves: readonly Candidate[], disruption: Disruption): void {
  if (moves.length === 0) warnings.push('nothing is to be done: every selected node is skipped');
  for (const service of disruption.services) {
    if (service.atOnce >= service.of) {
      warnings.push(`service ${service.name} can be down altogether: all ${service.of} of its nodes at once`);
    }
  }
  const bios = moves.filter((move) => move.node.firmware === 'bios').length;
  if (bios > 0)
    warnings.push(`${bios} nodes boot by BIOS: they start again from the network and prove nothing`);
}

/** Places that are named at most. */
const MOST_HELD = 10;

/** Nodes that cannot start now, because too much is down around them. @param warnings are added to */
export function warnHeld(
  warnings: string[],
  spec: Spec,
  waves: readonly { moves: readonly Candidate[] }[],
  places: { of: Counts; down: Counts },
) {
  if (spec.limits.down === 'ignore') return;
  const around = aroundOf(null, places.down, places.of, undefined);
  const held = new Map<string, { why: string; nodes: number }>();
  for (const [index, { moves }] of waves.entries()) {
    const rules = { limits: limitsSpecOf(spec, index), sizes: places.of };
    for (const { node } of moves) {
      const found = isDown(node) ? null : heldBy(rules, around, { limits: {}, last: {} }, node);
      if (found === null) continue;
      const { kind, name, why } = found;
      held.set(`${kind} ${name}`, { why, nodes: (held.get(`${kind} ${name}`)?.nodes ?? 0) + 1 });
    }
  }
  for (const [place, { why, nodes }] of [...held].sort(([a], [b]) => byText(a, b)).slice(0, MOST_HELD))
    warnings.push(`${nodes} nodes of ${place} cannot start now: ${why}`);
  if (held.size > MOST_HELD)
    warnings.push(`and nodes of ${held.size - MOST_HELD} places more cannot start now`);
}
