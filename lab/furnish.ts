import { dataPaths } from '../base/paths.ts';
import { buildImage } from '../image/build/build.ts';
import { publishedVersions } from '../image/build/manifest.ts';
import { initKeys } from '../keys/init.ts';

/** The version that a lab of its own publishes. */
const VERSION = '1.0.0';

/** Keys and an image for a data folder that has none: a lab of its own is a fleet of its own. */
export async function furnish(
  dataFolder: string,
  say: (text: string) => void,
  signal?: AbortSignal,
): Promise<void> {
  const paths = dataPaths(dataFolder);
  const keys = await initKeys(paths.keys);
  if (keys.created.length > 0) say(`Made keys for this lab (${keys.created.length} files).`);
  if ((await publishedVersions(paths.images)).length > 0) return;
  say('Building the signed image; the first time takes some minutes, later times seconds.');
  const image = await buildImage({ paths, version: VERSION, onWarning: say, ...(signal && { signal }) });
  say(`Published image ${VERSION}: ${(image.size / 1e6).toFixed(1)} MB.`);
}
