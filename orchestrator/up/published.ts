import { readManifest } from '../../image/build/manifest.ts';

/**
 * @param version as a machine reports it: anything
 * @returns PCR 11 that this image measures, hex; null when no such image is published, or its manifest says nothing
 */
export async function publishedPcr11(images: string, version: string): Promise<string | null> {
  return readManifest(images, version).then(
    ({ pcr11 }) => pcr11,
    () => null,
  );
}
