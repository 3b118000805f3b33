/** The disk that Bootwave installed here: which one it is, and the images on it. */
import { join } from 'node:path';
import { BootwaveError } from '../../../../base/error.ts';
import { exists } from '../../../../base/files.ts';
import type { EspFile } from '../../../../protocol/agent/slots.ts';
import { type EspFiles, IMAGE_FOLDER, openEsp } from '../release/esp.ts';
import { bootedEsp } from '../release/loader-variables.ts';
import { FALLBACK_LOADER } from './install.ts';
import { contentOf, type DiskFacts, describeOdd, LABELS } from './layout.ts';
import { withEsp } from './mount.ts';

/** Where it is looked for; tests put other places here. */
export type InstalledPlaces = {
  /** @param options milliseconds for each disk */
  readDisks(options?: { patience: number }): Promise<DiskFacts[]>;
  /** Mount point of the ESP, made when needed; only this process sees it. */
  mount: string;
  efivars: string;
  /** For tests, which mount nothing. */
  withEsp?: typeof withEsp;
};

/**
 * @throws BootwaveError `INSTALL_DISKS_AMBIGUOUS`: with two disks nobody can say which one the firmware starts;
 * `INSTALL_DISK_ODD`: the disk that it started cannot be judged now
 */
export async function installedDisk(
  places: InstalledPlaces,
  options?: { patience: number },
): Promise<DiskFacts | null> {
  const disks = await places.readDisks(options);
  const ours = disks.filter(
    (disk) => disk.odd === null && contentOf(disk) === 'ours' && disk.partitions[0]?.label === LABELS.esp,
  );
  if (ours.length === 1) return ours[0]!;
  const booted = await bootedEsp(places.efivars);
  if (ours.length === 0) {
    const odd = describeOdd(disks);
    if (booted === null || odd === '') return null;
    // It exists, and could be read a while ago: the answer "not installed" would have the node installed on another
    // disk.
    throw new BootwaveError({
      code: 'INSTALL_DISK_ODD',
      what: `the disk that this node has started from cannot be judged: ${odd}`,
      unchanged: 'no disk was touched',
      next: 'look at the disk: it may be failing; restart the node to try again',
    });
  }
  // Unless it has just started one of them.
  const started = ours.filter((disk) => booted !== null && disk.partitions[0]?.uuid === booted);
  if (started.length === 1) return started[0]!;
  throw new BootwaveError({
    code: 'INSTALL_DISKS_AMBIGUOUS',
    what: `more than one disk was installed by Bootwave: ${ours.map(({ name }) => name).join(', ')}`,
    unchanged: 'no disk was touched',
    next: 'wipe all but one of them',
  });
}

/** @returns null if the installation is not complete, or cannot be read any more: it has to be done again */
export async function filesOf(disk: DiskFacts, places: InstalledPlaces): Promise<EspFile[] | null> {
  try {
    return await (places.withEsp ?? withEsp)(disk.partitions[0]!.path, places.mount, 'ro', async (folder) => {
      // It comes last: without it the installation was cut off.
      const complete = await exists(join(folder, FALLBACK_LOADER));
      return complete ? (await openEsp(join(folder, IMAGE_FOLDER))).list() : null;
    });
  } catch (error) {
    if (error instanceof BootwaveError && error.code === 'ESP_BROKEN') return null;
    throw error;
  }
}

export async function mustBeInstalled(places: InstalledPlaces): Promise<DiskFacts> {
  const disk = await installedDisk(places);
  if (disk !== null) return disk;
  throw new BootwaveError({
    code: 'RELEASE_NOT_INSTALLED',
    what: 'this node has no installed disk',
    unchanged: 'nothing was done',
    next: 'order mode installed first',
  });
}

export function withImages<T>(
  disk: DiskFacts,
  places: InstalledPlaces,
  mode: 'ro' | 'rw',
  work: (esp: EspFiles) => Promise<T>,
): Promise<T> {
  return (places.withEsp ?? withEsp)(disk.partitions[0]!.path, places.mount, mode, async (folder) =>
    work(await openEsp(join(folder, IMAGE_FOLDER))),
  );
}
