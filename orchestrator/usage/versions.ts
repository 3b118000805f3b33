/** Who runs what: how many nodes run each version of a service, and how many are to. Pure. */
import { compareVersions } from '../../formats/version.ts';
import { bundleOf, fullServiceVersion, type ServiceVersion } from '../../protocol/service/name.ts';

/** One node. */
export type NodeRuns = {
  /** What its order in force names. */
  wanted: readonly ServiceVersion[];
  /** What it said that runs there; null: it has not said, because it is silent, new, or of an older image. */
  runs: readonly ServiceVersion[] | null;
};

/** Numbers of nodes. */
export type VersionCount = ServiceVersion & {
  wanted: number;
  runs: number;
  /** Of those that are to run it: who has not said what runs there. They may run it or not. */
  unknown: number;
};

/** By name, the newest version first. */
export const newestFirst = (a: ServiceVersion, b: ServiceVersion): number =>
  (a.name < b.name ? -1 : a.name > b.name ? 1 : 0) || compareVersions(b.version, a.version);

/** @returns by name, the newest version first; versions that nobody runs and nobody is to run are absent */
export function countVersions(nodes: Iterable<NodeRuns>): VersionCount[] {
  const counts = new Map<string, VersionCount>();
  const of = ({ name, version }: ServiceVersion): VersionCount => {
    const key = fullServiceVersion({ name, version });
    const known = counts.get(key) ?? { name, version, wanted: 0, runs: 0, unknown: 0 };
    counts.set(key, known);
    return known;
  };
  for (const { wanted, runs } of nodes) {
    for (const one of once(wanted)) {
      of(one).wanted += 1;
      if (runs === null) of(one).unknown += 1;
    }
    for (const one of once(runs ?? [])) of(one).runs += 1;
  }
  return [...counts.values()].sort(newestFirst);
}

/** The fleet's own and those of slices are instances of one version: a node counts once. */
const once = (all: readonly ServiceVersion[]): Iterable<ServiceVersion> =>
  new Map(all.map((one) => [fullServiceVersion(bundleOf(one)), bundleOf(one)])).values();

/** In place of a version that nobody has released and nobody is to run: it is a word of nodes. */
const OTHER = 'other';

/** With what nodes alone speak of counted together, so that no node makes up versions without end. */
export function knownVersions(
  counts: readonly VersionCount[],
  released: readonly ServiceVersion[],
): VersionCount[] {
  const known = new Set(released.map(fullServiceVersion));
  const isKnown = (one: VersionCount) => one.wanted > 0 || known.has(fullServiceVersion(one));
  const others = Map.groupBy(
    counts.filter((one) => !isKnown(one)),
    ({ name }) => name,
  );
  return [
    ...counts.filter(isKnown),
    ...[...others].map(([name, some]) => ({
      ...{ name, version: OTHER, wanted: 0, unknown: 0 },
      runs: some.reduce((sum, { runs }) => sum + runs, 0),
    })),
  ];
}
