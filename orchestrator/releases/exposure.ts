/** Which images have a vulnerability, and so which nodes. Pure. */
import type { Manifest } from '../../image/build/manifest.ts';
import type { Advisories } from './advisories.ts';
import { type Vulnerability, vulnerabilitiesOf } from './vulnerabilities.ts';

export type Exposure = {
  cve: string;
  /** When the advisories were imported, milliseconds since the epoch. */
  asOf: number;
  /** Image version to the package that has it. */
  affected: Record<string, Vulnerability>;
  /** Published images in which it is fixed, or never was. */
  clear: string[];
  /** Names of listed nodes whose image is not published any more, or says nothing of its source packages. */
  unknown: string[];
};

export function exposureOf(
  cve: string,
  images: readonly Manifest[],
  advisories: Advisories,
): Omit<Exposure, 'unknown'> {
  const affected: Record<string, Vulnerability> = {};
  const clear: string[] = [];
  for (const image of images) {
    const all = vulnerabilitiesOf(image, advisories);
    const found = all?.find((one) => one.cve === cve);
    if (found !== undefined) affected[image.version] = found;
    else if (all !== null) clear.push(image.version);
  }
  return { cve, asOf: advisories.at, affected, clear };
}
