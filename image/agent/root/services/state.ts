/**
 * What an instance keeps: a folder for each service, which outlives its versions. On an installed node it lies on the
 * state partition within a project of ext4's quotas; without a disk it is a file system in memory of that size.
 */
import { chmod, chown, lstat, mkdir, readdir, readFile, rename, rm, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { BootwaveError } from '../../../../base/error.ts';
import { exists, writeFileAtomic } from '../../../../base/files.ts';
import { run } from '../../../../base/run.ts';
import { instanceId, nameOfInstance } from '../../../../protocol/agent/units.ts';
import type { Manifest } from '../../../../protocol/service/manifest.ts';
import { sliceOf } from '../../../../protocol/service/name.ts';
import { type CopyBounds, copyTree, measureTree } from './copy-tree.ts';
import { type Place, placeOf, RANGE } from './place.ts';
import { boundNote, boundOf, mustBeFree, mustFit, type SpacePlaces } from './space.ts';

export type StatePlaces = SpacePlaces & {
  /** Bounds all folders of a project; 0: without a bound. @throws BootwaveError `SERVICE_STATE_QUOTA` */
  bound(folder: string, project: number, bytes: number, files: number): Promise<void>;
};

/** Bytes for each file that a state may have: as many as ext4 makes by itself (mke2fs.conf, inode_ratio). */
const BYTES_PER_FILE = 16_384;
const LEAST_FILES = 1024;

const filesOf = (bytes: number): number => Math.max(LEAST_FILES, Math.ceil(bytes / BYTES_PER_FILE));

/** What its instances see. */
export const dataFolder = ({ states }: Pick<StatePlaces, 'states'>, name: string): string =>
  join(states, instanceId(name), 'data');

/** Slot of each service that has a state: the owner of its folder says it. */
export async function slotsOfStates({ states }: Pick<StatePlaces, 'states'>): Promise<Map<string, number>> {
  const slots = new Map<string, number>();
  for (const id of await readdir(states).catch(() => [])) {
    const name = nameOfInstance(id);
    const folder = join(states, id);
    const stat = await lstat(join(folder, 'data')).catch(() => lstat(formerOf(folder)).catch(() => null));
    if (name === null || stat === null) continue;
    const slot = (stat.uid - placeOf(0).firstId) / RANGE;
    if (slot >= 0) slots.set(name, Math.floor(slot));
  }
  return slots;
}

/**
 * Removes what the services of a slice kept as soon as the node is to run nothing of that slice any more.
 * @param named instances of the order in force; @param running those that have not ended
 */
export async function dropStatesOfSlices(
  named: Iterable<string>,
  running: readonly string[],
  { states }: Pick<StatePlaces, 'states'>,
): Promise<void> {
  const there = new Set([...named, ...running].map(sliceOf));
  for (const id of await readdir(states).catch(() => [])) {
    const slice = sliceOf(nameOfInstance(id) ?? '');
    // One that cannot go now, as on a disk that is read-only, goes later.
    if (slice !== null && !there.has(slice)) await rm(join(states, id), { recursive: true }).catch(() => {});
  }
}

type Kind = 'fresh' | 'as-it-is' | 'copy' | 'restore';
type Found = { kind: Kind; folder: string; data: string; noted: number | null; last: string | null };
type Kept = NonNullable<Manifest['state']>;

const boundsOf = ({ bytes }: Kept) => ({ bytes, entries: filesOf(bytes) });
const noteOf = (folder: string): string => join(folder, 'version');
const copyFor = (folder: string, version: string): string => join(folder, `copy-${version}`);
/** What the state was before it was restored. */
const formerOf = (folder: string): string => join(folder, 'former');

/**
 * All that can refuse a version before the one that runs has to end; what that one keeps is only looked at. A folder
 * that is not there yet is made, and bounded.
 * @throws BootwaveError `SERVICE_STATE_SPACE`, `SERVICE_STATE_QUOTA`, `SERVICE_STATE_COPY`
 */
export async function readyState(
  name: string,
  version: string,
  state: Kept,
  place: Place,
  places: StatePlaces,
): Promise<Found> {
  const found = await find(name, version, state, places);
  const { kind, folder, data, noted } = found;
  const bounds = boundsOf(state);
  if (kind === 'copy') {
    await mustFit(folder, 2 * bounds.bytes, places);
    await mustBeFree(await measureTree(data, bounds), places);
  } else if (kind === 'fresh' || (noted !== null && bounds.bytes > noted))
    await mustFit(folder, bounds.bytes, places);
  // What it held fitted when it was made.
  if (kind === 'restore') await mustBeFree(await measureTree(copyFor(folder, version), null), places);
  if (kind !== 'fresh') return found;
  await mkdir(folder, { recursive: true, mode: 0o711 });
  // An instance's root goes through them to its own folder, with ids that are nobody's here.
  await chmod(places.states, 0o711);
  await chmod(folder, 0o711);
  await writeFileAtomic(boundNote(folder), `${bounds.bytes}`);
  await mkdir(data, { mode: 0o700 });
  // Not there, if it cannot be bounded: an empty one that is there would count as a state.
  await bound(data, place, bounds, places).catch((error: unknown) =>
    rmdir(data).then(() => Promise.reject(error)),
  );
  return found;
}

async function find(name: string, version: string, state: Kept, places: StatePlaces): Promise<Found> {
  const folder = join(places.states, instanceId(name));
  const data = dataFolder(places, name);
  // Killed between the two renames of a way back.
  if (!(await exists(data))) await rename(formerOf(folder), data).catch(() => {});
  const last = await readFile(noteOf(folder), 'utf8').catch(() => null);
  const isOther = last !== null && last !== version;
  let kind: Kind = 'as-it-is';
  if (isOther && (await exists(copyFor(folder, version)))) kind = 'restore';
  else if (!(await exists(data))) kind = 'fresh';
  else if (isOther && state.migrates) kind = 'copy';
  return { kind, folder, data, last, noted: await boundOf(folder) };
}

/**
 * Makes the folder ready for a version, while none runs: a copy of what the version before it left, if this one says
 * that it changes that; or that copy in its place, when the former version comes back. A kill at any point is
 * continued by the next call; after an error the state is as it was.
 * @throws BootwaveError as `readyState`
 */
export async function prepareState(
  name: string,
  version: string,
  { state, user }: Pick<Manifest, 'state' | 'user'>,
  place: Place,
  places: StatePlaces,
): Promise<void> {
  if (state === null) return;
  const found = await readyState(name, version, state, place, places);
  const { kind, folder, data, last } = found;
  if (kind === 'copy') await copyOf(data, copyFor(folder, last!), folder, boundsOf(state));
  if (kind === 'restore') await restore(found, version, place, places);
  await bound(data, place, boundsOf(state), places);
  await writeFileAtomic(boundNote(folder), `${state.bytes}`);
  await chown(data, place.firstId + user.uid, place.firstId + user.gid);
  await chmod(data, 0o700);
  await writeFileAtomic(noteOf(folder), version);
  for (const gone of [copyFor(folder, version), formerOf(folder)])
    await rm(gone, { recursive: true, force: true });
}

async function bound(
  data: string,
  { project }: Place,
  bounds: CopyBounds,
  places: StatePlaces,
): Promise<void> {
  try {
    await places.bound(data, project, bounds.bytes, bounds.entries);
  } catch (error) {
    // The next mount of the state partition sees it, and gives it quotas (../disk/state.ts).
    await writeFileAtomic(join(places.states, '../quotas-wanted'), '').catch(() => {});
    throw error;
  }
}

/** The state stays until its copy is whole beside it. For that long one project holds both, without a bound. */
async function restore(
  { folder, data, noted }: Found,
  version: string,
  place: Place,
  places: StatePlaces,
): Promise<void> {
  const part = join(folder, 'part');
  try {
    await rm(part, { recursive: true, force: true });
    await mkdir(part, { mode: 0o700 });
    await bound(part, place, { bytes: 0, entries: 0 }, places);
    await copyTree(copyFor(folder, version), part, null);
  } catch (error) {
    await rm(part, { recursive: true, force: true });
    const bytes = noted ?? 0;
    if (noted !== null && (await exists(data)))
      await bound(data, place, { bytes, entries: filesOf(bytes) }, places);
    throw error;
  }
  await rm(formerOf(folder), { recursive: true, force: true });
  if (await exists(data)) await rename(data, formerOf(folder));
  await rename(part, data);
}

/** One copy at most: of the version before the last one that migrated. */
async function copyOf(data: string, copy: string, folder: string, bounds: CopyBounds): Promise<void> {
  const part = join(folder, 'part');
  try {
    await rm(part, { recursive: true, force: true });
    await mkdir(part, { mode: 0o700 });
    await copyTree(data, part, bounds);
  } catch (error) {
    await rm(part, { recursive: true, force: true });
    throw error;
  }
  for (const name of await readdir(folder))
    if (name.startsWith('copy-')) await rm(join(folder, name), { recursive: true, force: true });
  await rename(part, copy);
}

/** @param program built from quota/quota.c */
export const boundBy =
  (program: string): StatePlaces['bound'] =>
  async (folder, project, bytes, files) => {
    const { code, stderr } = await run(program, [folder, `${project}`, `${bytes}`, `${files}`], {
      timeout: 20_000,
    });
    if (code === 0) return;
    throw new BootwaveError({
      code: 'SERVICE_STATE_QUOTA',
      what: `its state cannot be bounded: ${stderr.trim()}`,
      unchanged: 'the service was not started',
      next: 'restart the node: its state partition is given quotas when it is mounted',
    });
  };
