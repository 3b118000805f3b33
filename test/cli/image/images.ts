import { mkdir, writeFile } from 'node:fs/promises';
import { manifestFile } from '../../../image/build/manifest.ts';
import { simPcr11 } from '../../../lab/sim/node.ts';

/** Published images that only have a manifest, and show what simulated nodes show. */
export async function publishManifests(images: string, versions: readonly string[]): Promise<void> {
  await mkdir(images, { recursive: true });
  for (const version of versions) {
    const hash = 'a'.repeat(64);
    const manifest = {
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
    await writeFile(manifestFile(images, version), JSON.stringify(manifest));
  }
}
