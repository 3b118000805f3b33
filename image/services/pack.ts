/**
 * From an image to a bundle: one file, a squashfs and its tree of hashes, the same bytes for the same image on every
 * machine.
 */
import { chmod, mkdir, mkdtemp, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { BootwaveError } from '../../base/error.ts';
import { digestOfFile } from '../../base/files.ts';
import { BUNDLE_LIMITS, type BundleCustom } from '../../protocol/service/bundle.ts';
import type { Manifest } from '../../protocol/service/manifest.ts';
import type { ServiceVersion } from '../../protocol/service/name.ts';
import { squash } from '../build/squashfs.ts';
import type { ImageConfig } from './documents.ts';
import { asServiceFailure, mustBeRoot, refused } from './failure.ts';
import { readImage } from './image.ts';
import { OCI_LIMITS, type OciLimits } from './limits.ts';
import { merge, ofImage, readWritten, type Written } from './merge.ts';
import { addMountPoints, type Cleaned, clean, userIn } from './root.ts';
import { openSource } from './source.ts';
import { unpack } from './unpack.ts';
import { appendTree } from './verity.ts';

export type Packed = {
  /** The bundle. */
  file: string;
  sha256: string;
  /** Bytes. */
  size: number;
  custom: BundleCustom;
  /** Paths that have lost setuid or setgid. */
  stripped: string[];
};

export type PackOptions = {
  service: ServiceVersion;
  /** Folder or archive of the image. */
  oci: string;
  /** Text of the manifest; empty: what the image says is all. */
  manifest: string;
  /** The bundle; it is there whole or not at all. */
  out: string;
  limits?: OciLimits;
  signal?: AbortSignal;
};

/**
 * @throws BootwaveError `SERVICE_NEEDS_ROOT`, `SERVICE_OCI`, `SERVICE_MEDIA_TYPE`, `SERVICE_DIGEST`, `SERVICE_LAYER`,
 * `SERVICE_TOO_LARGE`, `SERVICE_MOUNT_POINT`, `SERVICE_MANIFEST`, `SERVICE_DISK_FULL`; nothing is left behind
 */
export async function packImage({
  service,
  oci,
  manifest,
  out,
  limits = OCI_LIMITS,
  signal,
}: PackOptions): Promise<Packed> {
  mustBeRoot();
  const written = readWritten(manifest);
  return inWork(out, async (work) => {
    const source = await openSource(oci, work, limits);
    const image = await readImage(source, wantedBy(written), limits);
    const said = ofImage(image.config);
    const user = image.config.config?.User ?? '';
    // What is wrong is said before minutes are spent; only the names of users have to wait.
    merge(written, said, null);
    const root = await unpack(image, work, limits, signal);
    const found = user === '' || written.user !== undefined ? null : await userIn(root, user);
    const merged = merge(written, said, found);
    return packRoot({
      root,
      service,
      manifest: merged,
      date: dateOf(image.config),
      out,
      limits,
      ...(signal && { signal }),
    });
  });
}

export type RootOptions = Pick<PackOptions, 'service' | 'out' | 'limits' | 'signal'> & {
  /** Changed: mount points are made in it. On the same disk as the bundle. */
  root: string;
  manifest: Manifest;
  /** Seconds since the epoch: every file gets this time. */
  date: number;
};

/** From files to a bundle. @throws as `packImage` */
export async function packRoot(options: RootOptions): Promise<Packed> {
  const { root, service, manifest, date, out, limits = OCI_LIMITS, signal } = options;
  await addMountPoints(root, manifest);
  const { stripped }: Cleaned = await clean(root, limits);
  const temporary = join(dirname(root), 'bundle');
  await squash(root, temporary, date, 1 << 17, signal);
  const { rootHash, dataBytes } = await appendTree(temporary);
  const { size } = await stat(temporary);
  if (size > BUNDLE_LIMITS.bytes)
    throw refused('SERVICE_TOO_LARGE', `the bundle has ${size} bytes; ${BUNDLE_LIMITS.bytes} at most can be`);
  await chmod(temporary, 0o644);
  const sha256 = await digestOfFile(temporary);
  await rename(temporary, out);
  const { name, version } = service;
  const custom: BundleCustom = { format: 1, service: name, version, rootHash, dataBytes, manifest };
  return { file: out, sha256, size, custom, stripped };
}

const wantedBy = ({ architecture }: Written): string | null =>
  typeof architecture === 'string' ? architecture : null;

/** The image's own date: files of two versions should not look the same to whoever goes by their times. */
function dateOf({ created }: ImageConfig): number {
  const seconds = Math.floor(Date.parse(created ?? '') / 1000);
  return seconds >= 0 && seconds < 2 ** 32 ? seconds : 0;
}

/** A folder beside the bundle that is gone afterwards, however it ends but by a kill. */
export async function inWork<T>(out: string, work: (folder: string) => Promise<T>): Promise<T> {
  await mkdir(dirname(out), { recursive: true });
  const folder = await mkdtemp(join(dirname(out), `.${basename(out)}-`)).catch((error: unknown) => {
    throw asServiceFailure(error, dirname(out));
  });
  try {
    return await work(folder);
  } catch (error) {
    if (error instanceof BootwaveError && error.code !== 'COMMAND_FAILED') throw error;
    throw asServiceFailure(error, dirname(out));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
