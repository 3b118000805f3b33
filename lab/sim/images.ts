import { mkdir, writeFile } from 'node:fs/promises';
import { type Manifest, manifestFile } from '../../image/build/manifest.ts';
import { simPcr11 } from './node.ts';

/** What is said of an image that is no more than its version, and shows what simulated nodes show. */
export function simManifest(version: string): Manifest {
  const hash = 'a'.repeat(64);
  return {
    version,
    size: 1_000_000,
    sha256: hash,
    unsignedSha256: hash,
    pcr11: simPcr11(version),
    kernel: '6.1.0',
    parts: [],
    firmwareMissing: [],
    builtFrom: hash,
    packages: [],
  };
}

/** Publishes images that only have a manifest; one that is there is written anew. */
export async function publishManifests(images: string, versions: readonly string[]): Promise<void> {
  await mkdir(images, { recursive: true });
  for (const version of versions)
    await writeFile(manifestFile(images, version), JSON.stringify(simManifest(version)));
}
