/**
 * What root does with disks when it is asked. Root itself reads disks, firmware variables and os-release and decides
 * what is safe; the agent only says what is wanted.
 */
import { createReadStream } from 'node:fs';
import { readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { BootwaveError, messageOf } from '../../../../base/error.ts';
import { exists } from '../../../../base/files.ts';
import { imageVersion } from '../../../../formats/os-release.ts';
import type {
  DiskRequest,
  DiskResults,
  RequestedImage,
  StateMount,
} from '../../../../protocol/agent/disk.ts';
import { readSlots, slotName } from '../../../../protocol/agent/slots.ts';
import type { Order } from '../../../../protocol/order.ts';
import { planActivate } from '../release/activate.ts';
import { planConfirm } from '../release/confirm.ts';
import type { EspFiles } from '../release/esp.ts';
import {
  areNew,
  isSignedAnew,
  type ListsPlaces,
  listsOf,
  noLists,
  prepareLists,
} from '../release/lists-step.ts';
import { readLoader } from '../release/loader-variables.ts';
import { markBad } from '../release/mark-bad.ts';
import { placeImage, tidy } from '../release/place.ts';
import { renewLoader, SAME_LOADER } from '../release/renew-loader.ts';
import { isShared, shareImage } from '../services/share.ts';
import type { SpacePlaces } from '../services/space.ts';
import { installDisk } from './install.ts';
import { filesOf, type InstalledPlaces, installedDisk, mustBeInstalled, withImages } from './installed.ts';
import { type DiskFacts, lastingName, type PartitionFacts } from './layout.ts';
import { withEsp } from './mount.ts';

/** Where root works; tests put other places here. */
export type DiskPlaces = InstalledPlaces & {
  /** Where the agent's finished downloads lie: `<version>_<sha256>.download`. */
  downloads: string;
  /** systemd-boot, signed with db. */
  loader: string;
  osRelease: string;
  /** The order in force, verified by root. */
  order(): Promise<Order>;
  /** A file that says that the running image is good: bootwave-trial.service looks for it. */
  blessed: string;
  /** A file that says that the loader was replaced in this boot: the state is already sealed for the next start. */
  loaderRenewed: string;
  /** A file that says that no disk is installed here: what is kept lies in memory (../services/main.ts). */
  diskless: string;
  /** Notes where the ESP of a finished installation is. */
  noteEsp(esp: PartitionFacts | undefined): Promise<void>;
  /** @param device state partition of a finished installation */
  mountState(device: string): Promise<StateMount>;
  /** The running image is good: the state may be sealed for it. */
  renewSeal(device: string): Promise<void>;
  /** @param device state partition */
  lists(device: string): ListsPlaces;
  /** Where services of this node find what they serve to neighbours. */
  share: SpacePlaces;
};

type Operations = {
  [O in DiskRequest['operation']]: (
    request: Extract<DiskRequest, { operation: O }>,
    places: DiskPlaces,
  ) => Promise<DiskResults[O]>;
};

/** Milliseconds: a status request waits 15 seconds for its answer, and a foreign disk that hangs gives none. */
const GLANCE = { patience: 8_000 };

async function runningVersion({ osRelease }: DiskPlaces): Promise<string> {
  return imageVersion(await readFile(osRelease, 'utf8').catch(() => ''));
}

/** The closed list. Each one can be done twice without harm. */
export const DISK_OPERATIONS: Operations = {
  async 'release-status'(_, places) {
    const loader = await readLoader(places.efivars);
    const disk = await installedDisk(places, GLANCE);
    const files = disk === null ? null : await filesOf(disk, places);
    if (disk === null || files === null) return { disk: null, lasting: '', files: [], loader };
    return { disk: disk.name, lasting: lastingName(disk), files, loader };
  },

  async 'disk-install'({ disk, image }, places) {
    const { wipe } = await ordered(places, image);
    const version = await runningVersion(places);
    const source = downloadOf(places, image);
    return installDisk({ disk, wipe, image, running: version }, { ...places, source }, places.readDisks);
  },

  async 'release-place'({ image }, places) {
    await ordered(places, image);
    const version = await runningVersion(places);
    const { fromDisk } = await readLoader(places.efivars);
    // An image that was booted from the network runs from no file here: a file of the same version may be given its
    // tries, or be dropped.
    const running = fromDisk ? version : '';
    const source = downloadOf(places, image);
    const there = await stat(source).catch(() => null);
    return withImages(await mustBeInstalled(places), places, 'rw', async (esp) => {
      const placed = await placeImage(esp, image, running, there === null ? null : createReadStream(source));
      await shareOrdered(esp, places);
      return placed;
    });
  },

  async 'secure-boot-prepare'({ version }, places) {
    const { image } = await ordered(places, { version });
    const running = await runningVersion(places);
    const disk = await mustBeInstalled(places);
    const [esp, state] = [disk.partitions[0]!.path, disk.partitions[1]!.path];
    const mounted = places.withEsp ?? withEsp;
    const own = places.lists(state);
    const { lists, changes } = await mounted(esp, places.mount, 'ro', async (folder) => {
      const lists = await listsOf(folder, version);
      const changes = await isSignedAnew(folder, { version, running }, own);
      return { lists, changes: changes || (lists !== null && (await areNew(lists, own))) };
    });
    if (!changes) return noLists(lists);
    return mounted(esp, places.mount, 'rw', (folder) =>
      prepareLists(folder, { image: image!, running }, { ...own, loader: places.loader }),
    );
  },

  async 'release-activate'({ version }, places) {
    await ordered(places, { version });
    const running = await runningVersion(places);
    const { fromDisk, pinned } = await readLoader(places.efivars);
    return withImages(await mustBeInstalled(places), places, 'rw', async (esp) => {
      await tidy(esp);
      const plan = planActivate(readSlots(await esp.list()), { version, running, fromDisk, pinned });
      if (plan.kind === 'running') return { needed: false, demoted: [] };
      for (const { from, to } of plan.renames) await esp.rename(from, to);
      return { needed: true, demoted: plan.renames.map(({ to }) => to) };
    });
  },

  async 'release-bless'(_, places) {
    const running = await runningVersion(places);
    const { fromDisk } = await readLoader(places.efivars);
    // It is healthy, so the backstop must not fire: a disk that cannot be written is no reason to restart.
    await writeFile(places.blessed, '');
    const disk = await installedDisk(places);
    if (disk === null) return { blessed: null, reason: 'not on disk' };
    const done = await withImages(disk, places, 'rw', async (esp) => {
      const blessed = await bless(esp, running, fromDisk);
      await shareOrdered(esp, places);
      return blessed;
    });
    if (await exists(places.loaderRenewed)) return done;
    await places.renewSeal(disk.partitions[1]!.path);
    const isGood = done.blessed !== null || done.reason === 'blessed already';
    if (isGood) await ownLoader(disk, running, places);
    return done;
  },

  async 'release-mark-bad'(_, places) {
    const running = await runningVersion(places);
    const { fromDisk, counted } = await readLoader(places.efivars);
    const wasHealthy = (await stat(places.blessed).catch(() => null)) !== null;
    return withImages(await mustBeInstalled(places), places, 'rw', (esp) =>
      markBad(esp, { running, fromDisk, counted, wasHealthy }),
    );
  },

  async 'state-mount'(_, places) {
    await rm(places.diskless, { force: true });
    const disk = await installedDisk(places);
    // An interrupted installation is begun again; it never takes a disk that is in use.
    if (disk === null || (await filesOf(disk, places)) === null) {
      await writeFile(places.diskless, '');
      return { mounted: false, sealed: false, why: 'this node has no installed disk' };
    }
    // If this is not known it costs one restart later; the state is worth more.
    await places
      .noteEsp(disk.partitions[0])
      .catch((error) => console.error(`bootwave-helper: where the ESP is: ${messageOf(error)}`));
    return { mounted: true, ...(await places.mountState(disk.partitions[1]!.path)) };
  },
};

/**
 * What is asked for must be what the fleet ordered: the agent alone can bring no image onto a disk, and start none.
 * @throws BootwaveError `ORDER_OTHER`, and what `orderInForce` throws
 */
async function ordered(
  { order }: DiskPlaces,
  { version, sha256, size }: Pick<RequestedImage, 'version'> & Partial<RequestedImage>,
): Promise<Order> {
  const inForce = await order();
  const { mode, image: wanted } = inForce;
  const isIt =
    mode === 'installed' &&
    wanted?.version === version &&
    (sha256 ?? wanted.sha256) === wanted.sha256 &&
    (size ?? wanted.size) === wanted.size;
  if (isIt) return inForce;
  throw new BootwaveError({
    code: 'ORDER_OTHER',
    what: `image ${version} is asked for; the order in force names ${wanted?.version ?? 'none'} (mode ${mode})`,
    unchanged: 'no disk was touched',
    next: 'deliver the order first',
  });
}

/** The ordered image, for neighbours, where a service of this node serves it. Never throws: nothing depends on it. */
async function shareOrdered(esp: EspFiles, { order, share }: DiskPlaces): Promise<void> {
  try {
    if (!(await isShared(share))) return;
    const { image } = await order();
    const slot = readSlots(await esp.list()).find(
      ({ version, size }) => version === image?.version && size === image.size,
    );
    if (image !== null && slot !== undefined) await shareImage(image, () => esp.read(slot.file), share);
  } catch (error) {
    console.error(`bootwave-helper: the image is not shared with neighbours: ${messageOf(error)}`);
  }
}

async function bless(
  esp: EspFiles,
  running: string,
  fromDisk: boolean,
): Promise<DiskResults['release-bless']> {
  await tidy(esp);
  const plan = planConfirm(readSlots(await esp.list()), { running, fromDisk, healthy: true });
  if (plan.kind === 'nothing') return { blessed: null, reason: plan.reason };
  await esp.rename(plan.rename.from, plan.rename.to);
  return { blessed: plan.version, reason: '' };
}

/** The image is good and stays good: if the loader could not be replaced, the next image tries again. Never throws. */
async function ownLoader(disk: DiskFacts, running: string, places: DiskPlaces): Promise<void> {
  const [esp, state] = [disk.partitions[0]!.path, disk.partitions[1]!.path];
  const { loader, loaderRenewed, mount } = places;
  try {
    const why = await (places.withEsp ?? withEsp)(esp, mount, 'rw', (folder) =>
      renewLoader(folder, slotName(running, null), {
        ...places.lists(state),
        loader,
        onRenew: () => writeFile(loaderRenewed, ''),
      }),
    );
    if (why !== SAME_LOADER)
      console.error(
        `bootwave-helper: the boot loader on the disk ${why === '' ? 'was replaced' : `stays: ${why}`}`,
      );
  } catch (error) {
    console.error(`bootwave-helper: the boot loader on the disk was not replaced: ${messageOf(error)}`);
  }
}

/** Built from checked parts only, so that no request can name another file. */
export function downloadOf(
  { downloads }: Pick<DiskPlaces, 'downloads'>,
  { version, sha256 }: RequestedImage,
): string {
  return join(downloads, `${version}_${sha256}.download`);
}
