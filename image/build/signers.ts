import { publishedVersions, readManifest } from './manifest.ts';

/**
 * Which db certificate signed which published image.
 * @param first id of the fleet's first certificate: it signed what was published before manifests said so
 * @returns version -> id (keys/secure-boot-state.ts); one whose manifest cannot be read is left out, and found by others
 */
export async function signersOf(images: string, first: string): Promise<Map<string, string>> {
  const signers = new Map<string, string>();
  for (const version of await publishedVersions(images)) {
    const manifest = await readManifest(images, version).catch(() => undefined);
    if (manifest !== undefined) signers.set(version, manifest.signedBy ?? first);
  }
  return signers;
}
