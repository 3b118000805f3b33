/** What changes for a node that goes from one image to another. Pure. */
import type { Manifest } from '../../image/build/manifest.ts';
import type { Advisories } from './advisories.ts';
import { unknownIn, type Vulnerability, vulnerabilitiesOf } from './vulnerabilities.ts';

type Side = Pick<Manifest, 'version' | 'size' | 'kernel'> & {
  /** Version of the kernel's source package: it changes more often than its name. Null: not recorded. */
  linux: string | null;
};

export type ImageDiff = {
  from: Side;
  to: Side;
  /** Null where a side does not have it. */
  packages: { name: string; from: string | null; to: string | null }[];
  /** Drivers that ask for firmware which is not in the image: only in `to`, only in `from`. */
  firmwareMissing: { more: string[]; less: string[] };
  cves: Cves | null;
  /** Why there is nothing about CVEs; null when there is. */
  cvesUnknown: string | null;
};

export type Cves = {
  /** When the advisories were imported, milliseconds since the epoch. */
  asOf: number;
  fixed: Vulnerability[];
  /** In `to` only: a package that came, or an older version of one. */
  come: Vulnerability[];
  /** In both. */
  left: Vulnerability[];
  /** Source packages of `to` of which the advisories say nothing. */
  unknown: string[];
};

export function diffImages(from: Manifest, to: Manifest, advisories: Advisories | null): ImageDiff {
  const [before, after] = [from, to].map(
    ({ packages }) => new Map(packages.map(({ name, version }) => [name, version])),
  ) as [Map<string, string>, Map<string, string>];
  const names = [...new Set([...before.keys(), ...after.keys()])].sort();
  const [asked, asks] = [from, to].map(({ firmwareMissing }) =>
    firmwareMissing.map(({ module }) => module),
  ) as [string[], string[]];
  const side = ({ version, size, kernel, sources }: Manifest): Side => ({
    ...{ version, size, kernel },
    linux: sources?.find(({ name }) => name === 'linux')?.version ?? null,
  });
  return {
    from: side(from),
    to: side(to),
    packages: names
      .map((name) => ({ name, from: before.get(name) ?? null, to: after.get(name) ?? null }))
      .filter((one) => one.from !== one.to),
    firmwareMissing: {
      more: asks.filter((module) => !asked.includes(module)),
      less: asked.filter((module) => !asks.includes(module)),
    },
    ...cvesOf(from, to, advisories),
  };
}

function cvesOf(
  from: Manifest,
  to: Manifest,
  advisories: Advisories | null,
): Pick<ImageDiff, 'cves' | 'cvesUnknown'> {
  if (advisories === null)
    return { cves: null, cvesUnknown: "no advisories were imported ('bootwave image advisories FILE')" };
  const [had, has] = [vulnerabilitiesOf(from, advisories), vulnerabilitiesOf(to, advisories)];
  if (had === null || has === null) {
    const { version } = had === null ? from : to;
    return { cves: null, cvesUnknown: `${version} was built before images recorded their source packages` };
  }
  const key = ({ cve, package: name }: Vulnerability) => `${cve} ${name}`;
  const [old, now] = [new Set(had.map(key)), new Set(has.map(key))];
  const cves = {
    asOf: advisories.at,
    fixed: had.filter((one) => !now.has(key(one))),
    come: has.filter((one) => !old.has(key(one))),
    left: has.filter((one) => old.has(key(one))),
    unknown: unknownIn(to, advisories),
  };
  return { cves, cvesUnknown: null };
}
