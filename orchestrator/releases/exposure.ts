/** Which images have a vulnerability, and so which nodes. Pure. */
import type { Manifest } from '../../image/build/manifest.ts';
import type { Advisories } from './advisories.ts';
import { unknownIn, type Vulnerability, vulnerabilitiesOf } from './vulnerabilities.ts';

export type Exposure = {
  cve: string;
  /** When the advisories were imported, milliseconds since the epoch. */
  asOf: number;
  /** Image version to the package that has it. */
  affected: Record<string, Vulnerability>;
  /** Published images in which it is fixed, or never was. */
  clear: string[];
  /** Published images of which that is not known: no source packages, or some of which nothing was imported. */
  unclear: string[];
  /** Names of listed nodes that run another image than these, or one of which it is not known. */
  unknown: string[];
};

/** @param images published ones by version; null: its manifest cannot be read */
export function exposureOf(
  cve: string,
  images: ReadonlyMap<string, Manifest | null>,
  advisories: Advisories,
): Omit<Exposure, 'unknown'> {
  // A kernel has thousands, and each image would be compared with all of them.
  const packages = Object.fromEntries(
    Object.entries(advisories.packages).map(([name, cves]) => [
      name,
      Object.hasOwn(cves, cve) ? { [cve]: cves[cve]! } : {},
    ]),
  );
  const affected: Record<string, Vulnerability> = {};
  const clear: string[] = [];
  const unclear: string[] = [];
  for (const [version, image] of images) {
    const all = image === null ? null : vulnerabilitiesOf(image, { packages });
    const [found] = all ?? [];
    if (found !== undefined) affected[version] = found;
    else if (image === null || all === null || unknownIn(image, advisories).length > 0) unclear.push(version);
    else clear.push(version);
  }
  return { cve, asOf: advisories.at, affected, clear, unclear };
}
