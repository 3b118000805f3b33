import { shownName } from '../../protocol/service/name.ts';
import type { PlanNode } from './node.ts';
import type { Candidate, PlanFacts, Skip, Target } from './place.ts';
import { matches } from './selector.ts';
import { hindrances, readWish, shownVersion, textOf, wishesIn } from './services.ts';
import type { Refusal, Spec } from './spec.ts';
import { byText } from './spread.ts';
import { refusalOf, revokedOnTheWay } from './versions.ts';
import { nextOpening, type Window } from './window.ts';

export function refuseTarget(target: Target, spec: Spec, facts: PlanFacts): Refusal[] {
  if (target.of === 'service')
    return (spec.services ?? []).flatMap((text, index): Refusal[] => {
      const wish = readWish(text);
      if (wish === null || wish.version === null) return [];
      const key = textOf([wish]);
      const why = facts.withdrawnServices?.get(key);
      const field = `services[${index}]`;
      if (why !== undefined) return [{ field, reason: `${shownVersion(key)} ${why}` }];
      if (facts.needs?.[key] !== undefined) return [];
      return [{ field, reason: `${shownVersion(key)} is not released ('bootwave service list')` }];
    });
  if (target.of === 'config') {
    const { version } = target;
    const why = facts.withdrawnConfigs?.get(version);
    const wayOut = `('bootwave config reinstate ${version}' takes that back)`;
    if (why !== undefined)
      return [{ field: 'config', reason: `configuration ${version} is withdrawn: ${why} ${wayOut}` }];
    if (facts.configs?.includes(version) === true) return [];
    return [{ field: 'config', reason: `configuration ${version} is not published` }];
  }
  const refused = refusalOf(facts.graph, target.version);
  return refused === null ? [] : [{ field: 'image', reason: refused.why }];
}

/** A selector with a typing mistake would silently match no node. */
export function refuseUnknown(spec: Spec, fleet: readonly PlanNode[], facts: PlanFacts): Refusal[] {
  const refusals: Refusal[] = [];
  const known = {
    names: new Set(fleet.flatMap(({ id, name }) => [id, name])),
    site: new Set(fleet.map(({ site }) => site)),
    rack: new Set(fleet.map(({ rack }) => rack)),
    role: new Set(fleet.map(({ role }) => role)),
  };
  const look = (selector: Spec['nodes'], field: string) => {
    for (const key of ['names', 'site', 'rack', 'role'] as const) {
      const strange = selector[key]?.filter(
        (value) => !(key === 'names' && value.includes('*')) && !known[key].has(value),
      );
      if (strange === undefined || strange.length === 0) continue;
      const what = key === 'names' ? 'is a node of the fleet' : 'has any node';
      refusals.push({
        field: `${field}.${key}`,
        reason: `${strange.slice(0, 5).join(', ')}: none of these ${what}`,
      });
    }
  };
  look(spec.nodes, 'nodes');
  for (const [index, { select }] of spec.waves.entries())
    if (select !== undefined) look(select, `waves[${index}].select`);
  const strangers = spec.approvals.from?.filter((name) => facts.people?.includes(name) === false) ?? [];
  if (strangers.length > 0) {
    const reason = `${strangers.join(', ')} is not a registered operator ('bootwave operator list'), as in "operator:ann"`;
    refusals.push({ field: 'approvals.from', reason });
  }
  return refusals;
}

/** A gate that no node can fail is useless. */
export function refuseServices(spec: Spec, target: Target, moves: readonly Candidate[]): Refusal[] {
  const brought = target.of === 'service' ? wishesIn(target.version) : [];
  const running = new Set([
    ...moves.flatMap(({ node }) => node.services),
    ...brought.flatMap(({ name, version }) => (version === null ? [] : [shownName(name)])),
  ]);
  const look = (gates: Spec['gates'], field: string) =>
    gates.flatMap((gate, index): Refusal[] => {
      if (gate.kind !== 'service' || moves.length === 0) return [];
      const strange = gate.names?.filter((name) => !running.has(name)) ?? [];
      if (running.size > 0 && strange.length === 0) return [];
      const what = strange.length > 0 ? strange.join(', ') : 'a service';
      return [
        {
          field: `${field}[${index}]`,
          reason: `no node of this rollout runs ${what}: it would prove nothing`,
        },
      ];
    });
  return [
    ...look(spec.gates, 'gates'),
    ...spec.waves.flatMap(({ gates }, index) => look(gates ?? [], `waves[${index}].gates`)),
  ];
}

/** What a node would refuse as soon as it is ordered, or never start. */
export function refuseDependencies(
  spec: Spec,
  target: Target,
  facts: PlanFacts,
  moves: readonly Candidate[],
): Refusal[] {
  if (target.of !== 'service') return [];
  const found = new Map<string, Refusal>();
  for (const { node } of moves)
    for (const { name, why } of hindrances(node.serving ?? {}, target.version, facts.needs ?? {})) {
      const index = (spec.services ?? []).findIndex((text) => readWish(text)?.name === name);
      const field = `services[${index}]`;
      // Of the same on many nodes the first is named.
      if (!found.has(`${field} ${why}`))
        found.set(`${field} ${why}`, { field, reason: `cannot go to node ${node.name}: ${why}` });
    }
  return [...found.values()];
}

/** Counts are taken literally, so waves that leave nodes over are refused: those nodes would silently not change. */
export function refuseLeftOver(
  spec: Spec,
  moves: readonly Candidate[],
  divisions: readonly { moves: readonly Candidate[] }[],
): Refusal[] {
  const over = moves.length - divisions.reduce((sum, wave) => sum + wave.moves.length, 0);
  if (over === 0) return [];
  const reason =
    `leave ${over} of ${moves.length} nodes over: add { "take": "rest" } to move these as well, ` +
    'or select fewer with nodes';
  return [{ field: spec.waves.length === 1 ? 'waves[0].take' : 'waves', reason }];
}

export function refuseBarriers(spec: Spec, moves: readonly Candidate[]): Refusal[] {
  if (spec.barriers !== 'refuse') return [];
  const held = moves.filter((move) => move.hops.length > 1);
  const first = held[0];
  if (first === undefined) return [];
  const through = first.hops.slice(0, -1).join(', ');
  return [
    {
      field: 'barriers',
      reason:
        `${held.length} nodes (${first.node.name} for one, on ${first.from}) must pass through ${through} first; ` +
        'roll that out, or set barriers to "pass" or "skip"',
    },
  ];
}

export function refuseRevoked(target: Target, facts: PlanFacts, moves: readonly Candidate[]): Refusal[] {
  if (target.of !== 'image') return [];
  for (const { node, from, hops } of moves) {
    const found = revokedOnTheWay(facts.graph, from, hops);
    if (found === null) continue;
    const { version, by } = found;
    const reason =
      `${node.name} comes from ${version}, and ${by} revokes that at the firmware: it could not fall back; ` +
      'roll out an image in between first';
    return [{ field: 'image', reason }];
  }
  return [];
}

const HOPELESS: readonly Skip['code'][] = ['below-floor', 'barrier-behind', 'no-path'];

/** A target that is older than everything selected is a mistake, not an empty rollout. */
export function refuseDowngrade(
  spec: Spec,
  moves: readonly Candidate[],
  skipped: readonly Skip[],
): Refusal[] {
  if (moves.length > 0) return [];
  const newer = skipped.find((skip) => skip.code === 'runs-newer');
  if (newer !== undefined && !skipped.some((skip) => skip.code === 'already-there')) {
    return [{ field: 'image', reason: `${newer.name}: ${newer.why}; set downgrade to go back on purpose` }];
  }
  const below = skipped.find((skip) => HOPELESS.includes(skip.code));
  if (below === undefined || spec.image === undefined) return [];
  return [{ field: 'image', reason: `${below.name}: ${below.why}` }];
}

/**
 * A wave whose nodes were chosen is there to prove the version before others get it. When none of them can be moved now
 * (offline, or refusing this very version since it failed there), the next wave would be the first to try it.
 * @param divisions what `divide` made of the spec's waves, in their order
 */
export function refuseUnproven(
  spec: Spec,
  selected: readonly PlanNode[],
  skipped: readonly Skip[],
  divisions: readonly { kind: 'regular' | 'tail'; moves: readonly Candidate[] }[],
): Refusal[] {
  const there = new Set(skipped.filter(({ code }) => code === 'already-there').map(({ node }) => node));
  const last = divisions.findLastIndex(({ kind, moves }) => kind === 'regular' && moves.length > 0);
  const taken = new Set(
    divisions
      .filter(({ kind }) => kind === 'regular')
      .flatMap(({ moves }) => moves.map(({ node }) => node.id)),
  );
  const tail = new Map(divisions.at(-1)?.moves.map(({ node, late }) => [node.id, late]));
  return spec.waves.slice(0, Math.max(last, 0)).flatMap(({ select }, index): Refusal[] => {
    if (select === undefined || divisions[index]!.moves.length > 0) return [];
    const nodes = selected.filter((node) => matches(select, node));
    const absent = nodes.find((node) => !there.has(node.id) && !taken.has(node.id));
    if (absent === undefined || nodes.some((node) => there.has(node.id))) return [];
    const why =
      tail.get(absent.id) ?? skipped.find(({ node }) => node === absent.id)?.why ?? 'not to be moved';
    return [
      {
        field: `waves[${index}].select`,
        reason:
          `none of the nodes that it selects can be moved now (${absent.name} for one: ${why}), ` +
          'so the next wave would get an image that nothing has proven; bring them back or select others',
      },
    ];
  });
}

/**
 * When a node of each site may first be touched, ms since the epoch.
 * @param field where the windows stand in the spec
 */
export function openings(
  windows: readonly Window[],
  field: string,
  moves: readonly Candidate[],
  { start, notAfter }: { start: number; notAfter: number | undefined },
  refusals: Refusal[],
): Record<string, number> {
  const opens: Record<string, number> = {};
  for (const site of [...new Set(moves.map((move) => move.node.site))].sort(byText)) {
    const at = nextOpening(windows, site, start);
    if (at === null) {
      refusals.push({ field, reason: `never opens for site ${site}` });
    } else if (notAfter !== undefined && at >= notAfter) {
      const first = new Date(at).toISOString();
      refusals.push({ field, reason: `never opens for site ${site} before notAfter; first at ${first}` });
    } else opens[site] = at;
  }
  return opens;
}
