import { createReadStream } from 'node:fs';
import { mkdir, open, readFile, rename, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { BootwaveError } from '../../../../base/error.ts';
import { digestOfFile, syncFolder } from '../../../../base/files.ts';
import { mustRun } from '../../../../base/run.ts';
import type { Installed, RequestedImage } from '../../../../protocol/agent/disk.ts';
import { readSlots } from '../../../../protocol/agent/slots.ts';
import { IMAGE_FOLDER, openEsp } from '../release/esp.ts';
import { placeImage } from '../release/place.ts';
import {
  chooseDisk,
  type DiskFacts,
  type DiskPolicy,
  describeOdd,
  LABELS,
  partitionScript,
  UNFINISHED,
} from './layout.ts';
import { repair, withEsp } from './mount.ts';
import { identityOf } from './paths.ts';
import { makeFileSystem } from './state.ts';

/**
 * loader.conf(5). No menu, no editor: nobody at the console chooses. No automatic entries: a stray loader on the
 * ESP is never started. No `default`, which would ignore boot counting.
 */
const LOADER_CONF = ['timeout 0', 'editor no', 'auto-entries no', 'auto-firmware no', ''].join('\n');

/** Where the firmware looks on a disk that no boot option names (UEFI 2.10, 3.5.1.1), and systemd's own place. */
export const FALLBACK_LOADER = 'EFI/BOOT/BOOTX64.EFI';
export const SYSTEMD_LOADER = 'EFI/systemd/systemd-bootx64.efi';

export type InstallRequest = DiskPolicy & {
  image: RequestedImage;
  /** Version that runs now: an image that runs while it is installed counts as good from the start. */
  running: string;
};

export type InstallPlaces = {
  /** The complete, fetched image. */
  source: string;
  /** systemd-boot, signed with db. */
  loader: string;
  /** Mount point of the ESP, created when needed. */
  mount: string;
};

const LIMIT = { timeout: 120_000 };

/**
 * Makes a disk boot this fleet's image. Everything is checked before the first byte is written; each step looks at what is
 * there and does only what is missing, so it is done again after a power cut. The loader that the firmware starts
 * comes last: a disk is bootable when all of it is there, or not at all.
 * @param readDisks asked again after the table was written
 * @throws BootwaveError `INSTALL_*` (see chooseDisk), `INSTALL_IMAGE`, `INSTALL_LOADER`, `STAGE_*`, `COMMAND_FAILED`
 */
export async function installDisk(
  request: InstallRequest,
  places: InstallPlaces,
  readDisks: () => Promise<DiskFacts[]>,
): Promise<Installed> {
  const disks = await readDisks();
  const left = describeOdd(disks);
  if (left !== '') console.error(`bootwave-helper: disks that are left alone: ${left}`);
  const { disk, content } = chooseDisk(disks, request);
  const loader = await checkLoader(places.loader);
  await checkImage(places.source, request.image);

  if (content === 'ours' && disk.odd !== null) await mend(disk);
  if (content === 'data') await wipe(disk);
  if (content !== 'ours')
    await mustRun('sfdisk', ['--quiet', '--wipe', 'always', '--wipe-partitions', 'always', disk.path], {
      ...LIMIT,
      input: partitionScript(),
    });
  const { esp, state } = await format(disk, request.wipe, readDisks);

  const file = await withEsp(esp, places.mount, 'rw', async (folder) => {
    const placed = await firstImage(join(folder, IMAGE_FOLDER), request, places.source);
    await replaceFile(join(folder, 'loader/loader.conf'), Buffer.from(LOADER_CONF));
    await replaceFile(join(folder, SYSTEMD_LOADER), loader);
    await replaceFile(join(folder, FALLBACK_LOADER), loader);
    return placed;
  });
  return { disk: disk.name, esp, state, file };
}

async function checkLoader(path: string): Promise<Buffer> {
  const loader = await readFile(path).catch(() => Buffer.alloc(0));
  // 'MZ': a PE file (PE format, "MS-DOS stub").
  if (loader.subarray(0, 2).toString('latin1') === 'MZ') return loader;
  throw new BootwaveError({
    code: 'INSTALL_LOADER',
    what: `this image has no boot loader for disks at ${path}`,
    unchanged: 'nothing was written to any disk',
    next: 'build the image again',
  });
}

async function checkImage(path: string, { version, size, sha256 }: RequestedImage): Promise<void> {
  const there = await stat(path).catch(() => null);
  if (there?.size === size && (await digestOfFile(path)) === sha256) return;
  throw new BootwaveError({
    code: 'INSTALL_IMAGE',
    what: `what was fetched is not the ordered image ${version}`,
    unchanged: 'nothing was written to any disk',
    next: 'compare the published image with the order',
  });
}

/**
 * A table of ours that the kernel does not see as it is: the backup is whole, and the power went while the primary one was
 * written (UEFI 2.10, 5.3.2: it is to be restored). sfdisk writes both, and has the kernel read them, with any change.
 */
async function mend({ path, partitions: [esp] }: DiskFacts): Promise<void> {
  await mustRun('sfdisk', ['--quiet', '--part-label', path, '1', esp?.label ?? ''], LIMIT);
}

/**
 * The signatures of the partitions are wiped first: while the table exists, a power cut leaves a disk that still shows
 * what it holds.
 */
async function wipe(disk: DiskFacts): Promise<void> {
  // The kernel shows an odd disk's partitions not at all, or shows others.
  const partitions = disk.odd === null ? disk.partitions : [];
  for (const { path } of partitions.toReversed())
    await mustRun('wipefs', ['--all', '--quiet', '--force', path], LIMIT);
  await mustRun('wipefs', ['--all', '--quiet', '--force', disk.path], LIMIT);
}

/** Makes the file systems that are not finished. The state first: with the ESP's name the disk counts as formatted. */
async function format(
  chosen: DiskFacts,
  wipe: boolean,
  readDisks: () => Promise<DiskFacts[]>,
): Promise<{ esp: string; state: string }> {
  const identity = identityOf(chosen);
  // Never by the kernel's name alone: with two paths another one may by now be the first that can be read.
  const disk = (await readDisks()).find(
    (found) => identityOf(found) === identity && [found.path, ...found.otherPaths].includes(chosen.path),
  );
  const [esp, state] = disk?.partitions ?? [];
  if (disk === undefined || disk.odd !== null || esp === undefined || state === undefined)
    throw new BootwaveError({
      code: 'INSTALL_TABLE',
      what: `the partition table that was written to ${chosen.name} cannot be read back${disk?.odd ? `: ${disk.odd.reason}` : ''}`,
      next: 'look at the disk: it may be failing',
    });
  if (state.label === LABELS.state + UNFINISHED) {
    await makeFileSystem(state.path, false, { mustRun });
    await finish(disk.path, 2, state.path, LABELS.state);
  }
  if (esp.label === LABELS.esp + UNFINISHED || (wipe && (await isBroken(esp.path)))) {
    await mustRun('mkfs.vfat', ['-F', '32', '-n', 'BOOTWAVE', esp.path], LIMIT);
    await finish(disk.path, 1, esp.path, LABELS.esp);
  }
  return { esp: esp.path, state: state.path };
}

/** An unreadable ESP is given up only when the order allows data to be lost. */
async function isBroken(esp: string): Promise<boolean> {
  try {
    await repair(esp);
    return false;
  } catch (error) {
    if (error instanceof BootwaveError && error.code === 'ESP_BROKEN') return true;
    throw error;
  }
}

/** The label says that the file system is complete, so it must not reach the disk before it is. */
async function finish(disk: string, number: number, partition: string, label: string): Promise<void> {
  const handle = await open(partition, 'r+');
  await handle.sync().finally(() => handle.close());
  await mustRun('sfdisk', ['--quiet', '--part-label', disk, String(number), label], LIMIT);
}

async function firstImage(folder: string, request: InstallRequest, source: string): Promise<string> {
  const files = await openEsp(folder);
  const there = readSlots(await files.list()).find(({ state }) => state === 'good');
  // Installed before: another image is staged and tried, never written over the old one.
  if (there !== undefined) return there.file;
  const as = request.image.version === request.running ? 'good' : 'trial';
  return (await placeImage(files, request.image, request.running, createReadStream(source), as)).file;
}

/** Left alone when it is the same; otherwise, after a power cut, the old or the new content, never a part. */
async function replaceFile(path: string, content: Buffer): Promise<void> {
  const there = await readFile(path).catch(() => null);
  if (there?.equals(content)) return;
  await mkdir(dirname(path), { recursive: true });
  const temporary = `${path}.new`;
  const handle = await open(temporary, 'w', 0o600);
  try {
    await handle.writeFile(content);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(temporary, path);
  await syncFolder(dirname(path));
}
