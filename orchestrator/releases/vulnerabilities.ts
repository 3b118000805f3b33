/** What an image has of what is known. Pure. */
import { compareDebianVersions } from '../../formats/debian-version.ts';
import type { Manifest } from '../../image/build/manifest.ts';
import type { Advisories } from './advisories.ts';

/** One for all: a kernel has thousands to sort. */
const ORDER = new Intl.Collator('en', { numeric: true });

export type Vulnerability = { cve: string; package: string; version: string; fixed: string | null };

/**
 * What an image has of what is known, sorted by CVE.
 * @returns null when the image was built before images recorded their source packages: nothing is known of it
 */
export function vulnerabilitiesOf(
  { sources }: Pick<Manifest, 'sources'>,
  { packages }: Pick<Advisories, 'packages'>,
): Vulnerability[] | null {
  if (sources === undefined) return null;
  const found: Vulnerability[] = [];
  for (const { name, version } of sources) {
    for (const [cve, fixed] of Object.entries(Object.hasOwn(packages, name) ? packages[name]! : {})) {
      if (fixed === null || compareDebianVersions(version, fixed) < 0)
        found.push({ cve, package: name, version, fixed });
    }
  }
  return found.sort((a, b) => ORDER.compare(a.cve, b.cve));
}

/** Source packages of an image that were in no image when the advisories were imported: nothing is known of them. */
export function unknownIn(
  { sources = [] }: Pick<Manifest, 'sources'>,
  { packages }: Pick<Advisories, 'packages'>,
): string[] {
  return [...new Set(sources.map(({ name }) => name).filter((name) => !Object.hasOwn(packages, name)))];
}

/** As people read it. */
export function vulnerabilityText({ cve, package: name, version, fixed }: Vulnerability): string {
  return `${cve}  ${name} ${version}, ${fixed === null ? 'no fix yet' : `fixed in ${fixed}`}`;
}
