/**
 * Whether what services keep, and their bundles, fit where they lie. Orders are written there by the agent, for which
 * nothing is set aside, so a part is promised to no service.
 */
import { readdir, readFile, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { BootwaveError } from '../../../../base/error.ts';
import { sizeOf } from '../../../../base/files.ts';
import { DOWNLOADS, SHARED, STATE } from '../../../../protocol/agent/places.ts';

/** Bytes of a file system, as users other than root see it. */
export type Space = { total: number; free: number };

export type SpacePlaces = {
  /** Folder with a folder for each service that keeps something. */
  states: string;
  /** Root's bundles. */
  store: string;
  /** Where the agent's finished downloads lie. */
  downloads: string;
  /** What neighbours may fetch (share.ts); bundles there are those of the store. */
  shared: string;
  /** Of the file system with all of them. */
  space(): Promise<Space>;
};

/** On a node. */
export const SPACE: SpacePlaces = {
  states: `${STATE}/services/states`,
  store: `${STATE}/services/bundles`,
  downloads: `${DOWNLOADS}/bundles`,
  shared: SHARED,
  space: () => spaceAt(STATE),
};

/** Of `shared`: the images. */
export const imagesOf = ({ shared }: Pick<SpacePlaces, 'shared'>): string => join(shared, 'images');

/** Bytes that stay for orders, records, and the download of an image. */
export const RESERVE = 256 * 2 ** 20;
/**
 * Bytes of the largest bundle in memory: the agent and root each hold a copy within the limits of their units
 * (MemoryMax=512M), beside what their programs take.
 */
const MOST_IN_MEMORY = 384 * 2 ** 20;

export async function spaceAt(folder: string): Promise<Space> {
  const { bsize, blocks, bfree, bavail } = await statfs(folder);
  return { total: (blocks - bfree + bavail) * bsize, free: bavail * bsize };
}

const BOUND = 'bytes';
/** File in the folder of a state: bytes that it may take. */
export const boundNote = (folder: string): string => join(folder, BOUND);

/** @returns bytes; null where nobody has noted them */
export async function boundOf(folder: string): Promise<number | null> {
  const text = await readFile(boundNote(folder), 'utf8').catch(() => '');
  return /^\d{1,15}$/.test(text) ? Number(text) : null;
}

/** Bytes that are promised to no state and taken by no bundle. @param except a state that does not count */
async function unpromised(places: SpacePlaces, except?: string): Promise<number> {
  let promised = RESERVE;
  for (const id of await readdir(places.states).catch(() => [])) {
    const folder = join(places.states, id);
    if (folder === except) continue;
    const copies = (await readdir(folder).catch(() => [])).filter((name) => name.startsWith('copy-')).length;
    // A folder without a note counts from the next start of its service on.
    promised += ((await boundOf(folder)) ?? 0) * (1 + copies);
  }
  const taken = (await bytesIn(places.store)) + (await bytesIn(imagesOf(places)));
  return (await places.space()).total - promised - taken;
}

/**
 * @param folder of the state
 * @param bytes that it, and the copy that is to be made of it, may take together
 * @throws BootwaveError `SERVICE_STATE_SPACE`
 */
export async function mustFit(folder: string, bytes: number, places: SpacePlaces): Promise<void> {
  const left = await unpromised(places, folder);
  if (bytes > left) throw noRoom(bytes, left);
}

/** @param bytes that are written now @throws BootwaveError `SERVICE_STATE_SPACE` */
export async function mustBeFree(bytes: number, places: Pick<SpacePlaces, 'space'>): Promise<void> {
  const left = (await places.space()).free - RESERVE;
  if (bytes > left) throw noRoom(bytes, left);
}

/** Bytes for what nobody depends on. */
export async function roomLeft(places: SpacePlaces): Promise<number> {
  return Math.min((await places.space()).free - RESERVE, await unpromised(places));
}

/**
 * Bytes for a new bundle, twice: as the agent fetches it, and as root keeps it. What else was fetched goes before.
 * @param memory bytes that are free; null: on a disk
 */
export async function roomForBundle(places: SpacePlaces, memory: number | null): Promise<number> {
  const fetched = await bytesIn(places.downloads);
  const free = (await places.space()).free + fetched - RESERVE;
  if (memory === null) return Math.min(free, await unpromised(places));
  return Math.min(free, memory + fetched - RESERVE, 2 * MOST_IN_MEMORY);
}

async function bytesIn(folder: string): Promise<number> {
  let bytes = 0;
  for (const name of await readdir(folder).catch(() => [])) bytes += await sizeOf(join(folder, name));
  return bytes;
}

function noRoom(bytes: number, left: number): BootwaveError {
  return new BootwaveError({
    code: 'SERVICE_STATE_SPACE',
    what: `its state may take ${bytes} bytes with its copy; this node's disk has ${Math.max(0, left)} left for it`,
    unchanged: 'the service was not started',
    next: 'order it on nodes with larger disks, or publish a version that keeps less',
  });
}
