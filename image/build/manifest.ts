import { readdir, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { BootwaveError, refusal } from '../../base/error.ts';
import { syncFolder } from '../../base/files.ts';
import { SHA256_HEX } from '../../formats/digest.ts';
import { compareVersions, isVersion } from '../../formats/version.ts';
import { withLock } from './lock.ts';

const hex64 = z.string().regex(SHA256_HEX);

/**
 * What is known about a published image; stored beside it and written last, so a manifest means that the file is
 * complete. Fields that a later Bootwave adds are ignored.
 */
const manifestSchema = z.object({
  version: z.string().refine(isVersion),
  /** Bytes of the signed file. */
  size: z.int().positive(),
  /** SHA-256 of the signed file. */
  sha256: hex64,
  /** SHA-256 before signing: two builds of the same inputs agree on this one. */
  unsignedSha256: hex64,
  /** PCR 11, SHA-256 bank, from the stub's handover on (no phases follow: the image has none). */
  pcr11: hex64,
  /** `uname -r`. */
  kernel: z.string(),
  /** What takes the space, largest first; sums up to `size`. */
  parts: z.array(z.strictObject({ name: z.string(), bytes: z.int() })),
  /** Drivers that ask for firmware which Debian's main archive does not have. */
  firmwareMissing: z.array(z.strictObject({ module: z.string(), files: z.array(z.string()) })),
  /** SHA-256 over `packages` and the kernel package. */
  builtFrom: hex64,
  packages: z.array(z.strictObject({ name: z.string(), version: z.string() })),
  /** The Debian source packages of them and of the kernel: Debian says of these what is vulnerable. Absent from older ones. */
  sources: z.array(z.strictObject({ name: z.string(), version: z.string() })).optional(),
  /** Nodes with an older image run it before they go on to a newer one. */
  barrier: z.literal(true).optional(),
  /** The oldest image from which a node goes straight to it. */
  minSource: z.string().refine(isVersion).optional(),
  /** Id of the db certificate whose key signed it (keys/secure-boot-state.ts); absent: the fleet's first one. */
  signedBy: z
    .string()
    .regex(/^[0-9a-f]{16}$/)
    .optional(),
  /** The Secure Boot lists that it brings to nodes, and the versions that their firmware then starts no more. */
  secureBootLists: z.object({ generation: z.int().positive(), revokes: z.array(z.string()) }).optional(),
});
export type Manifest = z.infer<typeof manifestSchema>;

export const imageFile = (images: string, version: string): string => join(images, `bootwave_${version}.efi`);
export const manifestFile = (images: string, version: string): string =>
  join(images, `bootwave_${version}.json`);

/** @throws BootwaveError `IMAGE_UNKNOWN` when no such version is published, `IMAGE_MANIFEST_INVALID` */
export async function readManifest(images: string, version: string): Promise<Manifest> {
  const path = manifestFile(images, version);
  let text: string;
  try {
    if (!isVersion(version)) throw Object.assign(new Error('not a version'), { code: 'ENOENT' });
    text = await readFile(path, 'utf8');
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ENOENT') throw cause;
    throw refusal(
      'IMAGE_UNKNOWN',
      `no image of version ${JSON.stringify(version.slice(0, 80))} is published`,
      "see 'bootwave image list', or build it: 'bootwave image build --version X'",
    );
  }
  try {
    return manifestSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw new BootwaveError({
      code: 'IMAGE_MANIFEST_INVALID',
      what: `${path} is not a manifest that this Bootwave understands`,
      unchanged: 'the image file was not touched',
      next: 'restore the manifest from a backup, or remove both files and build the version again',
      cause,
    });
  }
}

/** Versions with a manifest, newest first. A file without one was never published. */
export async function publishedVersions(images: string): Promise<string[]> {
  const names = await readdir(images).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
  return names
    .map((name) => /^bootwave_(.+)\.json$/.exec(name)?.[1])
    .filter((version) => version !== undefined)
    .filter(isVersion)
    .sort((a, b) => compareVersions(b, a));
}

/** @throws BootwaveError `IMAGE_VERSION_EXISTS` */
export async function refusePublished(images: string, version: string): Promise<void> {
  const path = manifestFile(images, version);
  const there = await readFile(path).then(
    () => true,
    () => false,
  );
  if (there) throw versionExists(version);
}

function versionExists(version: string): BootwaveError {
  return new BootwaveError({
    code: 'IMAGE_VERSION_EXISTS',
    what: `version ${version} is already published`,
    unchanged: 'the published image was not touched',
    next: 'choose a version that was never used: nodes and records know a version by its name',
  });
}

/**
 * Puts finished, synced files into place, under a lock, so that exactly one of two builders of one version wins:
 * first the image, then the manifest that makes it published.
 * @param files on the file system of `images`
 */
export async function publish(
  images: string,
  version: string,
  files: { image: string; manifest: string },
): Promise<void> {
  await withLock(join(images, '.lock'), async () => {
    await refusePublished(images, version);
    // An image without a manifest was left by a build that was killed exactly here.
    await rename(files.image, imageFile(images, version));
    await syncFolder(images);
    await rename(files.manifest, manifestFile(images, version));
    await syncFolder(images);
  });
}

/**
 * Which db certificate signed which published image.
 * @param first id of the fleet's first certificate: it signed what was published before manifests said so
 * @returns version -> id (keys/secure-boot-state.ts); a version whose manifest cannot be read is left out; other checks
 * report it
 */
export async function signersOf(images: string, first: string): Promise<Map<string, string>> {
  const signers = new Map<string, string>();
  for (const version of await publishedVersions(images)) {
    const manifest = await readManifest(images, version).catch(() => undefined);
    if (manifest !== undefined) signers.set(version, manifest.signedBy ?? first);
  }
  return signers;
}
