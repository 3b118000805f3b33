import type { DataPaths } from '../../base/paths.ts';
import { publishedVersions } from '../../image/build/manifest.ts';
import { Released } from '../../image/publish/released.ts';
import { fitForNew } from './default-image.ts';
import { PublishedManifests } from './published.ts';

/** The image for new hardware by what is on this machine's disk alone: Redis may say that newer ones are withdrawn. */
export function newestHere(
  paths: Pick<DataPaths, 'images' | 'releases'>,
  manifests = new PublishedManifests(paths.images),
): (said: { floor: string | null; withdrawn: ReadonlySet<string> }) => Promise<string | null> {
  const released = new Released(paths.releases);
  return async (said) => {
    const versions = await publishedVersions(paths.images);
    const found = await Promise.all(versions.map((version) => manifests.manifest(version)));
    const published = found.flatMap((manifest) =>
      manifest === null
        ? []
        : [{ version: manifest.version, revokes: manifest.secureBootLists?.revokes ?? [] }],
    );
    return fitForNew({ published, released: await released.images(), ...said })[0] ?? null;
  };
}
