import { limitOf } from './amount.ts';
import type { LimitsSpec, OwnLimits } from './pace-schema.ts';
import type { Spec } from './spec.ts';

/** Nodes that may be under way at once; a domain that is not listed (a late joiner's) may have one. */
export type Limits = {
  whole: number;
  site: Readonly<Record<string, number>>;
  rack: Readonly<Record<string, number>>;
};

/** Nodes under way, per domain; domains with none are absent. */
export type InFlight = { whole: number; site: Record<string, number>; rack: Record<string, number> };

type Domain = { site: string; rack: string | null };

/** Racks are named within their site. */
export function rackKey(node: Domain): string | null {
  return node.rack === null ? null : `${node.site}/${node.rack}`;
}

/** Limits of a wave or of the way back: what they leave out is that of the rollout. */
export function withOwn(limits: LimitsSpec, own: OwnLimits): LimitsSpec {
  return {
    whole: own.whole ?? limits.whole,
    site: own.site ?? limits.site,
    rack: own.rack ?? limits.rack,
    down: limits.down,
  };
}

/** Of the tail they are those of the rollout. */
export function limitsSpecOf({ limits, waves }: Pick<Spec, 'limits' | 'waves'>, wave: number): LimitsSpec {
  const own = waves[wave]?.limits;
  return own === undefined ? limits : withOwn(limits, own);
}

/** @param nodes all of the rollout: shares are of these, whichever wave they are for */
export function resolveLimits(limits: LimitsSpec, nodes: readonly Domain[]): Limits {
  const sites = new Map<string, number>();
  const racks = new Map<string, number>();
  for (const node of nodes) {
    sites.set(node.site, (sites.get(node.site) ?? 0) + 1);
    const rack = rackKey(node);
    if (rack !== null) racks.set(rack, (racks.get(rack) ?? 0) + 1);
  }
  const resolve = (sizes: Map<string, number>, amount: LimitsSpec['site']) =>
    Object.fromEntries([...sizes].map(([key, size]) => [key, limitOf(amount, size)]));
  return {
    whole: limitOf(limits.whole, nodes.length),
    site: resolve(sites, limits.site),
    rack: resolve(racks, limits.rack),
  };
}

type Setup = { limits: Limits; back?: Limits; waves: readonly { limits?: Limits }[] };

/** What holds while a wave is open, also for single nodes that go back meanwhile. */
export function limitsOf({ limits, waves }: Setup, wave: number): Limits {
  return waves[wave]?.limits ?? limits;
}

/** What holds while everything goes back. */
export function limitsBack({ limits, back }: Setup): Limits {
  return back ?? limits;
}

/** The domain that prevents one more, or null. */
export function blockedBy(limits: Limits, now: InFlight, node: Domain): 'whole' | 'site' | 'rack' | null {
  if (now.whole >= limits.whole) return 'whole';
  if ((now.site[node.site] ?? 0) >= (limits.site[node.site] ?? 1)) return 'site';
  const rack = rackKey(node);
  if (rack !== null && (now.rack[rack] ?? 0) >= (limits.rack[rack] ?? 1)) return 'rack';
  return null;
}

function bump(counts: Record<string, number>, key: string, by: number): void {
  const count = (counts[key] ?? 0) + by;
  if (count === 0) delete counts[key];
  else counts[key] = count;
}

/** Changes `now` in place: callers own a copy. */
export function count(now: InFlight, node: Domain, by: 1 | -1): void {
  now.whole += by;
  bump(now.site, node.site, by);
  const rack = rackKey(node);
  if (rack !== null) bump(now.rack, rack, by);
}
