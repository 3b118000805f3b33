import { shownName } from '../../protocol/service/name.ts';
import { type Disruption, disruptionOf, sizesOf, worstOf } from './disruption.ts';
import { divide } from './divide.ts';
import { type Counts, membersOf } from './down.ts';
import { refuseLife, warnLife } from './life.ts';
import { type Limits, resolveLimits, withOwn } from './limits.ts';
import type { PlanNode } from './node.ts';
import {
  type Candidate,
  disturbing,
  Paths,
  type PlanFacts,
  placeOf,
  type Skip,
  type Target,
  targetOf,
} from './place.ts';
import {
  openings,
  refuseBarriers,
  refuseDependencies,
  refuseDowngrade,
  refuseLeftOver,
  refuseRevoked,
  refuseServices,
  refuseTarget,
  refuseUnknown,
  refuseUnproven,
} from './refuse.ts';
import { matches } from './selector.ts';
import { hindrances, type NeedsOf } from './services.ts';
import type { Refusal, Spec } from './spec.ts';
import { byText } from './spread.ts';
import type { VersionGraph } from './versions.ts';
import { warnDown, warnHeld } from './warnings.ts';

export type { PlanFacts } from './place.ts';

/** A node's place: in this wave, in this order, for this reason. */
export type Place = {
  node: string;
  name: string;
  site: string;
  rack: string | null;
  /** Absent: none that is known. */
  services?: readonly string[];
  /** `network`: nothing is staged on a disk, the next boot brings the image. */
  how: 'disk' | 'network';
  /** Version that it runs now; null when it never had a configuration. */
  from: string | null;
  /** Versions to go through, the wanted one last. */
  hops: string[];
  why: string;
  /** What the engine starts from: the last epoch and boot that are known. */
  epoch: number;
  bootId: string | null;
  reachable: boolean;
  /** It was unhealthy when it was planned: its troubles prove nothing. */
  ill: boolean;
};

export type PlannedWave = {
  index: number;
  name: string;
  /** The tail takes nodes that are offline, degraded or join late, and may be empty. */
  kind: 'regular' | 'tail';
  /** In the order in which they are started. */
  places: Place[];
  /** Within its own limits, where it has such. */
  disruption: Disruption;
  /** Its own; absent: those of the plan. */
  limits?: Limits;
  /** First instant (ms since the epoch) at which each of its sites may be touched in it. */
  opens: Record<string, number>;
};

export type Plan = {
  spec: Spec;
  target: Target;
  /** Milliseconds since the epoch: what the plan knew. */
  at: number;
  waves: PlannedWave[];
  skipped: Skip[];
  limits: Limits;
  /** Members of each place that a node of it is in, in the whole fleet, and how many of them are down. */
  sizes: Counts;
  down: Counts;
  /** While everything goes back; absent: within `limits`. */
  back?: { limits: Limits; disruption: Disruption };
  /** The worst of all waves and of the way back. */
  disruption: Disruption;
  /** First instant (ms since the epoch) at which each site with a node in it may be touched. */
  opens: Record<string, number>;
  /** PCR 11 values that each version on the way may show. */
  pcr11: Record<string, readonly string[]>;
  /** What was published when it was made: nodes that join later are checked against it. */
  graph: Omit<VersionGraph, 'compare'>;
  /** The same of services, in a rollout of those. */
  needs?: NeedsOf;
  warnings: string[];
  /** What the document says to do after it: planned when its turn comes. */
  later?: readonly Spec[];
};

export type PlanResult = { ok: true; plan: Plan } | { ok: false; refusals: Refusal[] };

/**
 * Which node changes when, in which order and why; or why there can be no plan. The same input gives the same plan on
 * every machine.
 * @param now milliseconds since the epoch
 */
export function makePlan(fleet: readonly PlanNode[], spec: Spec, now: number, facts: PlanFacts): PlanResult {
  const target = targetOf(spec);
  const refusals = refuseSpec(fleet, spec, now, facts);
  if (refusals.length > 0) return { ok: false, refusals };
  const selected = fleet.filter((node) => matches(spec.nodes, node));

  const paths = new Paths(facts.graph, target.version, spec.downgrade);
  const found: Candidate[] = [];
  const skipped: Skip[] = [];
  for (const node of selected) {
    const placed = placeOf(node, spec, target, paths, facts.needs);
    if ('move' in placed) found.push(placed.move);
    else skipped.push(placed.skip);
  }
  refusals.push(
    ...refuseBarriers(spec, found),
    ...refuseDowngrade(spec, found, skipped),
    ...refuseRevoked(target, facts, found),
    ...refuseServices(spec, target, found),
    ...refuseDependencies(spec, target, facts, found),
  );
  const moves = found.map((move) => disturbing(move, target));
  const start = Math.max(now, spec.notBefore ?? now);
  const times = { start, notAfter: spec.notAfter };
  // Any of them may come to the tail, which has the rollout's windows.
  const general = openings(spec.windows, 'windows', moves, times, refusals);
  if (refusals.length > 0) return { ok: false, refusals };

  const nodes = moves.map((move) => move.node);
  const limits = resolveLimits(spec.limits, nodes);
  const sizes = sizesOf(fleet.filter((node) => node.state !== 'retired'));
  const warnings: string[] = [];
  const divisions = divide(spec, moves, warnings);
  refusals.push(...refuseLeftOver(spec, moves, divisions));
  refusals.push(...refuseUnproven(spec, selected, skipped, divisions));
  if (refusals.length > 0) return { ok: false, refusals };
  const waves = divisions.map(({ name, kind, moves, why }, index): PlannedWave => {
    const own = spec.waves[index];
    const its = own?.limits && resolveLimits(withOwn(spec.limits, own.limits), nodes);
    return {
      index,
      name,
      kind,
      places: moves.map((move) => placed(move, why)),
      disruption: disruptionOf(
        moves.map((move) => move.node),
        its ?? limits,
        sizes,
      ),
      ...(its && { limits: its }),
      opens:
        own?.windows === undefined
          ? Object.fromEntries(moves.map(({ node: { site } }) => [site, general[site]!]))
          : openings(own.windows, `waves[${index}].windows`, moves, times, refusals),
    };
  });
  if (refusals.length > 0) return { ok: false, refusals };
  const opens: Plan['opens'] = {};
  for (const [site, at] of waves.flatMap((wave) => Object.entries(wave.opens)))
    opens[site] = Math.min(at, opens[site] ?? at);
  const ownBack = spec.rollback.limits;
  const limitsBack = ownBack && resolveLimits(withOwn(spec.limits, ownBack), nodes);
  const disruptionBack = disruptionOf(nodes, limitsBack ?? limits, sizes);
  const back = limitsBack && { limits: limitsBack, disruption: disruptionBack };
  const disruption = worstOf(
    disruptionBack,
    waves.map((wave) => wave.disruption),
  );
  warnDown(warnings, moves, disruption);
  warnings.push(...warnLife(spec, facts, nodes, now));
  const { of, down } = membersOf(fleet, nodes, now);
  warnHeld(warnings, spec, divisions, { of, down });
  skipped.sort((a, b) => byText(a.code, b.code) || byText(a.name, b.name) || byText(a.node, b.node));
  const passed = new Set(moves.flatMap((move) => move.hops));
  const pcr11 = Object.fromEntries(
    facts.graph.versions.filter((v) => passed.has(v.version)).map((v) => [v.version, v.pcr11 ?? []]),
  );
  const { versions, floor } = facts.graph;
  const graph = { versions, floor };
  return {
    ok: true,
    plan: {
      ...{ spec, target, at: now, waves, skipped, limits, ...(back && { back }), sizes: of, down },
      ...{ disruption, opens, pcr11, graph, warnings },
      ...(facts.needs === undefined ? {} : { needs: facts.needs }),
    },
  };
}

/** What is wrong with it whatever each of the nodes does. */
function refuseSpec(fleet: readonly PlanNode[], spec: Spec, now: number, facts: PlanFacts): Refusal[] {
  const refusals = [...refuseTarget(targetOf(spec), spec, facts), ...refuseLife(spec, facts, now)];
  if (spec.notAfter !== undefined && spec.notAfter <= now) {
    refusals.push({ field: 'notAfter', reason: 'is past, so the window never opens' });
  }
  refusals.push(...refuseUnknown(spec, fleet, facts));
  const selected = fleet.filter((node) => matches(spec.nodes, node));
  if (selected.length === 0) refusals.push({ field: 'nodes', reason: 'selects no node of the fleet' });
  for (const [index, wave] of spec.waves.entries()) {
    const { select } = wave;
    if (select !== undefined && selected.length > 0 && !selected.some((node) => matches(select, node))) {
      refusals.push({ field: `waves[${index}].select`, reason: 'selects none of the nodes of this rollout' });
    }
  }
  return refusals;
}

/**
 * Why there will be no plan for a spec whose turn is yet to come, as far as it is known now. What a rollout before it
 * changes (which image runs, and the labels of a configuration) is not looked at.
 */
export function foresee(fleet: readonly PlanNode[], spec: Spec, now: number, facts: PlanFacts): Refusal[] {
  const lasting = ({ running: _, labels: __, ...rest }: Spec['nodes']): Spec['nodes'] => rest;
  const waves = spec.waves.map(({ select, ...wave }) =>
    select === undefined ? wave : { ...wave, select: lasting(select) },
  );
  return refuseSpec(fleet, { ...spec, nodes: lasting(spec.nodes), waves }, now, facts);
}

function placed(move: Candidate, why: (move: Candidate) => string): Place {
  const { node } = move;
  return {
    node: node.id,
    name: node.name,
    site: node.site,
    rack: node.rack,
    ...(node.services.length === 0 ? {} : { services: node.services }),
    how: node.mode === 'netboot' ? 'network' : 'disk',
    from: move.from,
    hops: move.hops,
    why: why(move),
    epoch: node.epoch,
    bootId: node.bootId,
    reachable: node.state !== 'unreachable',
    ill: node.state === 'degraded',
  };
}

/** The rule for nodes that start to match while a rollout runs: the tail wave, or nothing. */
export function placeLateJoiner(
  node: PlanNode,
  plan: Pick<Plan, 'spec' | 'target'>,
  facts: PlanFacts,
): Place | Skip | null {
  if (plan.spec.lateJoiners === 'ignore' || !matches(plan.spec.nodes, node)) return null;
  const paths = new Paths(facts.graph, plan.target.version, plan.spec.downgrade);
  const { needs } = facts;
  const result = placeOf(node, plan.spec, plan.target, paths, needs);
  if ('skip' in result) return result.skip;
  const { id, name, site } = node;
  const [hindered] =
    plan.target.of === 'service' ? hindrances(node.serving ?? {}, plan.target.version, needs ?? {}) : [];
  if (hindered !== undefined)
    return { node: id, name, site, code: 'dependency', why: `${shownName(hindered.name)}: ${hindered.why}` };
  const [revoked] = refuseRevoked(plan.target, facts, [result.move]);
  if (revoked !== undefined) {
    return { node: id, name, site, code: 'revoked-on-the-way', why: revoked.reason };
  }
  if (plan.spec.barriers === 'refuse' && result.move.hops.length > 1) {
    const why = `it must pass through ${result.move.hops.slice(0, -1).join(', ')} first`;
    return { node: id, name, site, code: 'barrier-ahead', why };
  }
  return placed(disturbing(result.move, plan.target), () => 'joined while the rollout ran');
}
