import { compareVersions } from '../../formats/version.ts';

/** What people have decided about images, on this machine's own disk. */
export type ImageRules = {
  /** No older image may run; null: any may. */
  floor: string | null;
  withdrawn: ReadonlySet<string>;
};

export const NO_IMAGE_RULES: ImageRules = { floor: null, withdrawn: new Set() };

/**
 * Why a machine may not run this image, though it is published.
 * @param siteFloor of the machine's site; null: it has none
 * @returns null: it may
 */
export function unfit(
  version: string,
  { floor, withdrawn }: ImageRules,
  siteFloor: string | null,
): string | null {
  if (withdrawn.has(version)) return `image ${version} is withdrawn`;
  for (const [of, least] of [
    ['the release floor', floor],
    ["the site's floor", siteFloor],
  ] as const)
    if (least !== null && compareVersions(version, least) < 0)
      return `image ${version} is below ${of} ${least}`;
  return null;
}
