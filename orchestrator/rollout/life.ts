/** What the life of a version of a service means for a plan that brings it. Pure. */
import { bundleOf, shownServiceVersion } from '../../protocol/service/name.ts';
import { type LifeState, stateOf } from '../services/life.ts';
import type { PlanNode } from './node.ts';
import type { PlanFacts } from './place.ts';
import { readWish, shownVersion, textOf } from './services.ts';
import type { Refusal, Spec } from './spec.ts';

type Facts = Pick<PlanFacts, 'lives' | 'needs'>;
type Brought = { index: number; key: string; shown: string; state: LifeState; instead: string };

/** The versions that it brings. @param now milliseconds since the epoch */
function broughtBy(spec: Pick<Spec, 'services'>, { lives }: Facts, now: number): Brought[] {
  return (spec.services ?? []).flatMap((text, index): Brought[] => {
    const wish = readWish(text);
    if (wish === null || wish.version === null) return [];
    const key = textOf([wish]);
    const life = lives?.get(textOf([bundleOf({ name: wish.name, version: wish.version })]));
    const { successor = null } = life ?? {};
    const instead = successor === null ? '' : `; its successor is ${shownVersion(successor)}`;
    const shown = shownServiceVersion({ name: wish.name, version: wish.version });
    return [{ index, key, shown, state: stateOf(life, now), instead }];
  });
}

export function refuseLife(spec: Pick<Spec, 'services' | 'preview'>, facts: Facts, now: number): Refusal[] {
  return broughtBy(spec, facts, now).flatMap(({ index, shown, state, instead }): Refusal[] => {
    const field = `services[${index}]`;
    if (state === 'obsolete')
      return [
        { field, reason: `${shown} is obsolete${instead} ('bootwave service promote' takes that back)` },
      ];
    if (state !== 'preview' || spec.preview === true) return [];
    const ways = `say "preview": true in the spec, or 'bootwave service promote ${shown}' first`;
    return [{ field, reason: `${shown} is in preview: ${ways}` }];
  });
}

/** @param nodes those that it moves */
export function warnLife(
  spec: Pick<Spec, 'services'>,
  facts: Facts,
  nodes: readonly Pick<PlanNode, 'serving'>[],
  now: number,
): string[] {
  const brought = broughtBy(spec, facts, now);
  const own = brought.flatMap(({ shown, state, instead }) =>
    state === 'deprecated' ? [`${shown} is deprecated${instead}`] : [],
  );
  const names = new Set(brought.map(({ key }) => key.split(':')[0]!));
  const depends = new Map<string, number>();
  for (const { key, shown } of brought)
    for (const name of facts.needs?.[key]?.dependsOn ?? [])
      for (const { serving = {} } of names.has(name) ? [] : nodes) {
        const there = `${name}:${serving[name]?.version}`;
        const state = stateOf(facts.lives?.get(there), now);
        if (state !== 'deprecated' && state !== 'obsolete') continue;
        const text = `${shown} depends on ${shownVersion(there)}, which is ${state}`;
        depends.set(text, (depends.get(text) ?? 0) + 1);
      }
  return [...own, ...[...depends].map(([text, count]) => `${text}, on ${count} nodes`)];
}
