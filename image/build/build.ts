import { createHash, randomBytes } from 'node:crypto';
import { mkdir, open, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { BootwaveError, refusal } from '../../base/error.ts';
import { writeFileAtomic } from '../../base/files.ts';
import type { DataPaths } from '../../base/paths.ts';
import { floorsOf } from '../../formats/tpm/pcr-signature.ts';
import { assertVersion, compareVersions } from '../../formats/version.ts';
import { releaseByItself } from '../publish/publish.ts';
import { Released } from '../publish/released.ts';
import { Cache, cacheFolder } from './cache.ts';
import { asDiskFull, NEEDED_PUBLISH, needSpace } from './failure.ts';
import { type FleetFiles, fleetFiles } from './fleet-files.ts';
import { fleetArchive, osRelease } from './initrd.ts';
import { signEfi } from './loaders.ts';
import { withLock } from './lock.ts';
import { type Manifest, publish, refusePublished, signersOf } from './manifest.ts';
import { type BuildProgress, type BuildStep, progressOf } from './progress.ts';
import { bringAlong, refuseOlderLists } from './secure-boot-lists.ts';
import { buildSystem, type System, type SystemOptions } from './system.ts';
import { assembleUki, COMMAND_LINE } from './uki.ts';

const STUB = '/usr/lib/systemd/boot/efi/linuxx64.efi.stub';

export type BuildOptions = SystemOptions & {
  paths: DataPaths;
  /** See version.ts. */
  version: string;
  /** As the manifest says them: how nodes may come to this image. */
  way?: Pick<Manifest, 'barrier' | 'minSource'>;
  onProgress?: (progress: BuildProgress) => void;
};

/**
 * Builds, signs and publishes one image.
 * @throws BootwaveError `IMAGE_VERSION_INVALID`, `IMAGE_SOURCE_INVALID`, `IMAGE_VERSION_EXISTS`, `IMAGE_NEEDS_ROOT`, `KEYS_MISSING`,
 * `SECURE_BOOT_LISTS_INVALID`, `SECURE_BOOT_LISTS_OLD`, `IMAGE_DISK_FULL`, `ARCHIVE_UNREACHABLE`, `AGENT_BUNDLE_FAILED`, `COMMAND_FAILED`; nothing is published then
 */
export async function buildImage(options: BuildOptions): Promise<Manifest> {
  const { paths, version, signal } = options;
  assertVersion(version);
  checkWay(options);
  await refusePublished(paths.images, version);
  if (process.geteuid?.() !== 0) {
    throw new BootwaveError({
      code: 'IMAGE_NEEDS_ROOT',
      what: 'building an image needs root: it installs Debian packages into a folder, which needs chroot and mounts',
      unchanged: 'nothing was built or published',
      next: 'run the same command as root (sudo)',
    });
  }
  const fleet = await fleetFiles(paths);
  await refuseOlderLists(paths.images, fleet.lists.generation);
  const progress = progressOf(options.onProgress);
  const cache = new Cache(cacheFolder());
  await mkdir(cache.folder, { recursive: true });
  const build = async (): Promise<System> => {
    await cache.sweep();
    try {
      return await buildSystem(options, cache, progress);
    } catch (error) {
      throw asDiskFull(error, cache.folder);
    }
  };
  const system = await withLock(join(cache.folder, '.lock'), build, signal);
  signal?.throwIfAborted();
  progress('uki');
  try {
    return await signAndPublish(options, system, fleet, progress);
  } catch (error) {
    throw asDiskFull(error, paths.images);
  }
}

function checkWay({ version, way }: BuildOptions): void {
  if (way?.minSource === undefined) return;
  assertVersion(way.minSource);
  if (compareVersions(way.minSource, version) >= 0)
    throw refusal(
      'IMAGE_SOURCE_INVALID',
      `${way.minSource} is not older than ${version}: no node could go from it to that`,
      'give --min-source the oldest image from which nodes may go straight to the new one',
    );
}

async function signAndPublish(
  { paths, version, way, signal, onWarning }: BuildOptions,
  system: System,
  fleet: FleetFiles,
  progress: (step: BuildStep, part?: number) => void,
): Promise<Manifest> {
  await mkdir(paths.images, { recursive: true });
  await needSpace(paths.images, NEEDED_PUBLISH);
  const release = osRelease(version);
  const files = new Map(fleet.files).set('os-release', Buffer.from(release));
  const ours = fleetArchive(files, fleet.notBefore);
  const brought = bringAlong(fleet.lists, await signedByOthers(paths.images, fleet));
  const uki = assembleUki({
    stub: await readFile(STUB),
    osRelease: release,
    cmdline: COMMAND_LINE,
    pcrKey: fleet.pcrKey,
    floors: floorsOf(version, [...((await new Released(paths.releases).images())?.keys() ?? [])]),
    linux: system.vmlinuz,
    initrd: Buffer.concat([system.archive, ours]),
    lists: brought.section,
  });

  const folder = join(paths.images, `.build-${randomBytes(6).toString('hex')}`);
  await mkdir(folder);
  try {
    const unsigned = join(folder, 'unsigned.efi');
    const image = join(folder, 'image.efi');
    await writeFile(unsigned, uki.unsigned);
    progress('uki', 0.3);
    await signEfi(unsigned, image, fleet.signing, signal);
    await syncFile(image);
    const signed = await readFile(image);
    const manifest: Manifest = {
      version,
      size: signed.length,
      sha256: createHash('sha256').update(signed).digest('hex'),
      unsignedSha256: uki.unsignedSha256,
      pcr11: uki.pcr11,
      kernel: system.kernel.release,
      parts: partsOf(system, ours.length, signed.length),
      firmwareMissing: system.kernel.firmwareMissing,
      builtFrom: system.builtFrom,
      packages: system.packages,
      sources: system.sources,
      signedBy: fleet.signing.id,
      ...way,
      ...brought.manifest,
    };
    progress('publish');
    const text = join(folder, 'manifest.json');
    await writeFileAtomic(text, `${JSON.stringify(manifest, null, 2)}\n`, 0o644);
    signal?.throwIfAborted();
    await publish(paths.images, version, { image, manifest: text });
    // The image exists, but no node gets it before it is released.
    if (!(await releaseByItself(manifest, { paths }))) onWarning?.(notReleased(version));
    progress('publish', 1);
    return manifest;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Published versions that a machine refuses to start once it has this db. */
async function signedByOthers(images: string, { held, first }: FleetFiles): Promise<string[]> {
  const signers = [...(await signersOf(images, first))];
  return signers.filter(([, id]) => !held.includes(id)).map(([version]) => version);
}

function notReleased(version: string): string {
  return `${version} is built but not released, because the targets keys are not on this machine; bring them and run 'bootwave image publish ${version} --keys DIRECTORY'`;
}

async function syncFile(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
    await handle.chmod(0o644);
  } finally {
    await handle.close();
  }
}

function partsOf(system: System, fleetBytes: number, total: number): { name: string; bytes: number }[] {
  const parts = [
    ...system.sizes,
    { name: 'kernel', bytes: system.vmlinuz.length },
    {
      name: 'initrd: busybox, first modules',
      bytes: system.archive.length - system.sizes.reduce((sum, part) => sum + part.bytes, 0),
    },
    { name: 'fleet certificates, keys, disk loader', bytes: fleetBytes },
  ];
  const rest = total - parts.reduce((sum, part) => sum + part.bytes, 0);
  return [...parts, { name: 'stub, signature, padding', bytes: rest }].sort((a, b) => b.bytes - a.bytes);
}
