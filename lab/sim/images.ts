import { createHash } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { exists } from '../../base/files.ts';
import { imageFile, type Manifest, manifestFile, readManifest } from '../../image/build/manifest.ts';
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

/** Bytes: as firmware fetches them, and too few to be in the way. */
const SIZE = 64 * 1024;

/**
 * Images that a boot server serves: a PE file without a section, filled with their version. Nothing can start it. One that
 * is there stays as it is: a version is one content.
 */
export async function publishFiles(images: string, versions: readonly string[]): Promise<Manifest[]> {
  await mkdir(images, { recursive: true });
  return Promise.all(
    versions.map(async (version) => {
      if (await exists(manifestFile(images, version))) return readManifest(images, version);
      const bytes = Buffer.alloc(SIZE, `${version}\n`);
      bytes.fill(0, 0, 0x80);
      bytes.write('MZ', 0);
      bytes.writeUInt32LE(0x40, 0x3c);
      bytes.write('PE\0\0', 0x40);
      const sha256 = createHash('sha256').update(bytes).digest('hex');
      const manifest = { ...simManifest(version), size: bytes.length, sha256 };
      await writeFile(imageFile(images, version), bytes);
      // Last: an image is published when its manifest is there.
      await writeFile(manifestFile(images, version), JSON.stringify(manifest));
      return manifest;
    }),
  );
}
