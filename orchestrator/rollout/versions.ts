/**
 * Which version may follow which. A barrier must be run before anything newer; a dead end may be left but not entered;
 * a minimum source may need a step in between; no path goes below the floor.
 */

export type Compare = (a: string, b: string) => number;

export type VersionFacts = {
  version: string;
  /** Nodes older than this must run it before they go on. */
  barrier?: boolean;
  /** Why nothing may stay on it. */
  deadEnd?: string;
  /** Lowest version from which one may go to it directly. */
  minSource?: string;
  /** Versions that the firmware of a node that gets this one starts no more. */
  revokes?: readonly string[];
  /** PCR 11 values that the image may show (SHA-256, hex). */
  pcr11?: readonly string[];
};

export type VersionGraph = {
  versions: readonly VersionFacts[];
  /** Nothing older may be started; null when there is no floor. */
  floor: string | null;
  /** UAPI version order. */
  compare: Compare;
};

export type NoPath =
  | 'unknown-version'
  | 'unknown-source'
  | 'below-floor'
  | 'dead-end'
  | 'runs-newer'
  | 'barrier-behind'
  | 'no-path';

export type Path =
  /** The versions to go through, the last one being the wanted one; empty when it is there already. */
  { ok: true; hops: string[] } | { ok: false; code: NoPath; why: string };

/** Whether anything may be rolled out to this version at all; null when it may. */
export function refusalOf(graph: VersionGraph, to: string): { code: NoPath; why: string } | null {
  const facts = graph.versions.find((candidate) => candidate.version === to);
  if (facts === undefined) return { code: 'unknown-version', why: `version ${to} is not published` };
  if (facts.deadEnd !== undefined) {
    return { code: 'dead-end', why: `version ${to} is a dead end: ${facts.deadEnd}` };
  }
  if (graph.floor !== null && graph.compare(to, graph.floor) < 0) {
    return { code: 'below-floor', why: `version ${to} is below the release floor ${graph.floor}` };
  }
  return null;
}

/** @param floor the floor of the node or its site, which may be above the release floor */
export function pathTo(
  graph: VersionGraph,
  from: string | null,
  to: string,
  options: { downgrade?: boolean; floor?: string | null } = {},
): Path {
  const { compare } = graph;
  const refused = refusalOf(graph, to);
  if (refused !== null) return { ok: false, ...refused };
  if (from === to) return { ok: true, hops: [] };
  const floor = options.floor ?? null;
  if (floor !== null && compare(to, floor) < 0) {
    return {
      ok: false,
      code: 'below-floor',
      why: `version ${to} is below ${floor}, the floor of the node or its site`,
    };
  }
  if (from === null) {
    return { ok: false, code: 'unknown-source', why: 'it never said which version it runs' };
  }
  if (compare(from, to) > 0) return back(graph, from, to, options.downgrade === true);
  return forward(graph, from, to, floor);
}

/**
 * Whether a path destroys its own way back: the lists are written before the new image is tried, so an image that
 * revokes the image that a node comes from leaves it nothing to fall back to.
 * @returns null when it does not
 */
export function revokedOnTheWay(
  graph: VersionGraph,
  from: string | null,
  hops: readonly string[],
): { version: string; by: string } | null {
  let version = from;
  for (const by of hops) {
    const revokes = graph.versions.find((facts) => facts.version === by)?.revokes ?? [];
    if (version !== null && revokes.includes(version)) return { version, by };
    version = by;
  }
  return null;
}

function back(graph: VersionGraph, from: string, to: string, allowed: boolean): Path {
  if (!allowed) return { ok: false, code: 'runs-newer', why: `it runs ${from}, which is newer` };
  const barrier = graph.versions.find(
    (facts) =>
      facts.barrier === true &&
      graph.compare(to, facts.version) < 0 &&
      graph.compare(facts.version, from) <= 0,
  );
  if (barrier === undefined) return { ok: true, hops: [to] };
  return {
    ok: false,
    code: 'barrier-behind',
    why: `going back from ${from} to ${to} would cross the barrier ${barrier.version}`,
  };
}

/** Fewest hops, breadth first; among equals the newest stop, because it needs the fewest steps later. */
function forward(graph: VersionGraph, from: string, to: string, floor: string | null): Path {
  const { compare } = graph;
  const ahead = graph.versions
    .filter((facts) => compare(from, facts.version) < 0 && compare(facts.version, to) <= 0)
    .sort((a, b) => compare(b.version, a.version));
  const usable = ahead.filter(
    (facts) =>
      facts.deadEnd === undefined &&
      (graph.floor === null || compare(facts.version, graph.floor) >= 0) &&
      (floor === null || compare(facts.version, floor) >= 0),
  );
  const barriers = ahead.filter((facts) => facts.barrier === true).map((facts) => facts.version);
  const came = new Map<string, string | null>([[from, null]]);
  let front = [from];
  while (front.length > 0 && !came.has(to)) {
    const next: string[] = [];
    for (const at of front) {
      for (const facts of usable) {
        const { version, minSource } = facts;
        if (came.has(version) || compare(at, version) >= 0) continue;
        if (minSource !== undefined && compare(at, minSource) < 0) continue;
        if (barriers.some((b) => compare(at, b) < 0 && compare(b, version) < 0)) continue;
        came.set(version, at);
        next.push(version);
      }
    }
    front = next;
  }
  if (!came.has(to)) {
    return { ok: false, code: 'no-path', why: `no published way leads from ${from} to ${to}` };
  }
  const hops: string[] = [];
  for (let at: string | null = to; at !== null && at !== from; at = came.get(at) ?? null) hops.unshift(at);
  return { ok: true, hops };
}
