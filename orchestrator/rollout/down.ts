/**
 * Which nodes count as down, and what that forbids. A site and a rack may lose as many nodes as `limits` say, whatever took
 * them down. The last live node of a rack or of a service stays. `whole` is the pace of one rollout and no place: it counts
 * only the rollout's own nodes, so that dead nodes elsewhere never stop a large fleet.
 */
import { limitOf } from './amount.ts';
import { rackKey } from './limits.ts';
import type { PlanNode } from './node.ts';
import type { LimitsSpec } from './pace-schema.ts';

const KINDS = ['site', 'rack', 'service'] as const;
type Kind = (typeof KINDS)[number];

/** Nodes by place; places with none may be absent. Racks are named as `rackKey` does. */
export type Counts = Readonly<Record<Kind, Record<string, number>>>;

/** Where a node counts. */
export type Placed = { site: string; rack: string | null; services?: readonly string[] | undefined };

/**
 * What is down around the nodes that a rollout is changing itself.
 * Places where nothing is down, and that have as many nodes as when it was planned, are absent.
 */
export type Around = {
  /** Number of the last step by which any rollout took nodes down, as it was seen; null: it must be looked at first. */
  fence: number | null;
} & Readonly<Record<Kind, Readonly<Record<string, { of: number; down: number }>>>>;

export const NOTHING_SEEN: Around = { fence: null, site: {}, rack: {}, service: {} };

/**
 * States of a member that does not do its work, or not well. Not `updating`: a rollout counts its own nodes, and is asked
 * for them.
 */
export const DOWN: readonly PlanNode['state'][] = [
  ...(['enrolled', 'installing', 'degraded', 'unreachable', 'quarantined', 'recovering'] as const),
];
/** States in which a machine does not count as a node of its place: not yet, or not any more. */
export const STRANGE = ['discovered', 'pending', 'rejected', 'retired'] as const;

/**
 * Milliseconds of silence after which a node is no part of its place any more, until it is heard: what works there has long got
 * used to it, and machines that nobody repairs must not keep a whole rack from every fix.
 */
export const GONE = 24 * 3600_000;

/** @param lastSeen milliseconds since the epoch; null: never */
const isGone = (state: string, lastSeen: number | null, now: number): boolean =>
  state === 'unreachable' && lastSeen !== null && now - lastSeen > GONE;

export const noCounts = (): Counts => ({ site: {}, rack: {}, service: {} });

function placesOf(node: Placed): [Kind, string][] {
  const rack = rackKey(node);
  return [
    ['site', node.site],
    ...(rack === null ? [] : [['rack', rack] as [Kind, string]]),
    ...(node.services ?? []).map((name): [Kind, string] => ['service', name]),
  ];
}

/** Changes `counts` in place: callers own it. */
export function tally(counts: Counts, node: Placed): void {
  for (const [kind, name] of placesOf(node)) counts[kind][name] = (counts[kind][name] ?? 0) + 1;
}

export function sum(a: Counts, b: Counts): Counts {
  const all = noCounts();
  for (const kind of KINDS)
    for (const [name, nodes] of [...Object.entries(a[kind]), ...Object.entries(b[kind])])
      all[kind][name] = (all[kind][name] ?? 0) + nodes;
  return all;
}

/** The counts of those places that have nodes in `where`. */
export function within(where: Counts, counts: Counts): Counts {
  const found = noCounts();
  for (const kind of KINDS)
    for (const name of Object.keys(where[kind])) {
      const nodes = counts[kind][name];
      if (nodes !== undefined) found[kind][name] = nodes;
    }
  return found;
}

/**
 * @param of members of each place now; those that are left out are as planned
 * @param planned members of each place when it was planned; absent: not known
 */
export function aroundOf(
  fence: number | null,
  down: Counts,
  of: Counts,
  planned: Counts | undefined,
): Around {
  const around = { site: {}, rack: {}, service: {} } as Record<
    Kind,
    Record<string, { of: number; down: number }>
  >;
  for (const kind of KINDS) {
    for (const name of new Set([...Object.keys(of[kind]), ...Object.keys(down[kind])])) {
      const size = of[kind][name] ?? planned?.[kind][name] ?? down[kind][name] ?? 0;
      const away = down[kind][name] ?? 0;
      if (away > 0 || size !== planned?.[kind][name]) around[kind][name] = { of: size, down: away };
    }
  }
  return { fence, ...around };
}

/** One more of this place is down than was seen. */
export function oneMore(around: Around, node: Placed, planned: Counts | undefined): Around {
  const next = {
    ...around,
    site: { ...around.site },
    rack: { ...around.rack },
    service: { ...around.service },
  };
  for (const [kind, name] of placesOf(node)) {
    const { of, down } = placeIn(around, planned, kind, name);
    next[kind][name] = { of, down: down + 1 };
  }
  return next;
}

/** Whether all its places were looked at, or planned. */
export const isSeen = (around: Around, planned: Counts | undefined, node: Placed): boolean =>
  placesOf(node).every(([kind, name]) => (around[kind][name] ?? planned?.[kind][name]) !== undefined);

function placeIn(around: Around, planned: Counts | undefined, kind: Kind, name: string) {
  // Of an older rollout nobody has written down the sizes: until somebody has looked, no place is small.
  return around[kind][name] ?? { of: planned?.[kind][name] ?? Number.MAX_SAFE_INTEGER, down: 0 };
}

/** Why a node has to wait. */
export type Held = { kind: Kind; name: string; why: string };

type Some = { readonly [kind in Kind]?: Readonly<Record<string, number>> };
export type Own = { limits: Some; last: Some };

/** Only what others have taken down counts. */
export const NO_OWN: Own = { limits: {}, last: {} };

/**
 * The first place that cannot lose this node now. Do not ask it of a node that is down itself: to restart that one makes
 * nothing worse.
 * @param own nodes of the asking rollout that count as well: against the limits, and before the last live one
 */
export function heldBy(
  { limits, sizes }: { limits: LimitsSpec; sizes?: Counts | undefined },
  around: Around,
  own: Own,
  node: Placed,
): Held | null {
  for (const [kind, name] of placesOf(node)) {
    const { of, down } = placeIn(around, sizes, kind, name);
    const ownOf = (counts: Own['limits']) => counts[kind]?.[name] ?? 0;
    const held = (rule: string): Held => {
      const verb = down === 1 ? 'is' : 'are';
      return {
        kind,
        name,
        why: `${down} of ${of} nodes of ${kind} ${name} ${verb} down already (${rule})`,
      };
    };
    if (kind !== 'service' && down + ownOf(own.limits) >= limitOf(limits[kind], of)) {
      const limit = limits[kind];
      return held(`limit ${'count' in limit ? limit.count : `${limit.percent} %`}`);
    }
    // A site is no place whose nodes stand in for each other: a rack and a service are.
    if (kind !== 'site' && of > 1 && down + ownOf(own.last) + 1 >= of) return held('the last live one stays');
  }
  return null;
}

/** Whether it counts as down in its places now. One that is updating is at work for another rollout. */
export const isDown = ({ state }: PlanNode): boolean => state === 'updating' || DOWN.includes(state);

/** Members of the fleet in the places of these nodes, and those of them that are down. */
export function membersOf(
  fleet: readonly PlanNode[],
  nodes: readonly Placed[],
  now: number,
): { of: Counts; down: Counts } {
  const [own, of, down] = [noCounts(), noCounts(), noCounts()];
  for (const node of nodes) tally(own, node);
  for (const node of fleet) {
    if (STRANGE.some((state) => state === node.state) || isGone(node.state, node.lastSeen, now)) continue;
    tally(of, node);
    if (isDown(node)) tally(down, node);
  }
  return { of: within(own, of), down: within(own, down) };
}
