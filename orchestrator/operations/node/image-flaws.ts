import { publishedVersions } from '../../../image/build/manifest.ts';
import { Released } from '../../../image/publish/released.ts';
import { unfit } from '../../fleet/image-rules.ts';
import { siteFloors } from '../../releases/floor.ts';
import { PublishedManifests } from '../../releases/published.ts';
import { Consents } from '../../signer/consents.ts';
import { signerFiles } from '../../signer/files.ts';
import type { Acting } from '../operation.ts';

/**
 * Why no node of a site may be moved to an image, by what is published and decided now; null: it may.
 * @throws BootwaveError `SIGNER_WORDS`: it is unknown what was forbidden
 */
export async function imageFlaws({
  fleet,
  paths,
}: Pick<Acting, 'fleet' | 'paths'>): Promise<(image: string, site: string) => string | null> {
  const manifests = new PublishedManifests(paths.images);
  const versions = await publishedVersions(paths.images);
  const [rules, released, floors, found] = await Promise.all([
    new Consents(signerFiles(paths).consents).current(),
    new Released(paths.releases).images(),
    siteFloors(fleet),
    // One that cannot be read revokes nothing that anybody knows of, and hides no others.
    Promise.all(versions.map((version) => manifests.manifest(version))),
  ]);
  return (image, site) => {
    if (!versions.includes(image)) return `image ${image} is not published`;
    if (released?.has(image) === false) return `image ${image} is published and not released`;
    const by = found.find((one) => one?.secureBootLists?.revokes.includes(image));
    if (by) return `image ${by.version} revokes image ${image} at the firmware`;
    return unfit(image, rules, floors.get(site) ?? null);
  };
}
