/**
 * What an instance keeps: a folder for each service, which outlives its versions. On an installed node it lies on the
 * state partition within a project of ext4's quotas; without a disk it is a file system in memory of that size.
 */
import { chmod, chown, lstat, mkdir, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { BootwaveError } from '../../../../base/error.ts';
import { exists, writeFileAtomic } from '../../../../base/files.ts';
import { run } from '../../../../base/run.ts';
import type { Manifest } from '../../../../protocol/service/manifest.ts';
import { copyTree } from './copy-tree.ts';
import { instanceId, nameOfInstance, type Place, placeOf, RANGE } from './place.ts';
import { boundNote, boundOf, mustFit, type SpacePlaces } from './space.ts';

export type StatePlaces = SpacePlaces & {
  /** Bounds a folder. @throws BootwaveError `SERVICE_STATE_QUOTA` */
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
    const stat = await lstat(join(states, id, 'data')).catch(() => null);
    if (name === null || stat === null) continue;
    const slot = (stat.uid - placeOf(0).firstId) / RANGE;
    if (slot >= 0) slots.set(name, Math.floor(slot));
  }
  return slots;
}

/**
 * Makes the folder ready for a version, before it starts: a copy of what the version before it left, if this one says
 * that it changes that; or that copy in its place, when the former version comes back. A kill at any point is
 * continued by the next call.
 * @throws BootwaveError `SERVICE_STATE_SPACE`, `SERVICE_STATE_QUOTA`, `SERVICE_STATE_COPY`
 */
export async function prepareState(
  name: string,
  version: string,
  { state, user }: Pick<Manifest, 'state' | 'user'>,
  place: Place,
  places: StatePlaces,
): Promise<void> {
  if (state === null) return;
  const folder = join(places.states, instanceId(name));
  const data = dataFolder(places, name);
  const note = join(folder, 'version');
  const last = await readFile(note, 'utf8').catch(() => null);
  const copy = join(folder, `copy-${version}`);
  const noted = await boundOf(folder);
  const isThere = await exists(data);
  const isCopied = last !== null && last !== version && state.migrates && isThere && !(await exists(copy));
  if (!isThere || isCopied || (noted !== null && state.bytes > noted))
    await mustFit(folder, state.bytes * (isCopied ? 2 : 1), places);
  await mkdir(folder, { recursive: true, mode: 0o711 });
  // An instance's root goes through them to its own folder, with ids that are nobody's here.
  await chmod(places.states, 0o711);
  await chmod(folder, 0o711);
  const bounds = { bytes: state.bytes, entries: filesOf(state.bytes) };
  const bound = () =>
    places.bound(data, place.project, bounds.bytes, bounds.entries).catch(async (error: unknown) => {
      // The next mount of the state partition sees it, and gives it quotas (../disk/state.ts).
      await writeFileAtomic(join(places.states, '../quotas-wanted'), '').catch(() => {});
      throw error;
    });
  await writeFileAtomic(boundNote(folder), `${state.bytes}`);
  const fresh = async () => {
    await mkdir(data, { mode: 0o700 });
    await bound();
  };
  if (last !== null && last !== version && (await exists(copy))) {
    await rm(data, { recursive: true, force: true });
    await fresh();
    await copyTree(copy, data, bounds);
  } else if (isCopied) {
    await copyOf(data, join(folder, `copy-${last}`), folder, bounds);
  }
  if (!(await exists(data))) await fresh();
  await bound();
  await chown(data, place.firstId + user.uid, place.firstId + user.gid);
  await chmod(data, 0o700);
  await writeFileAtomic(note, version);
  await rm(copy, { recursive: true, force: true });
}

/** One copy at most: of the version before the last one that migrated. */
async function copyOf(
  data: string,
  copy: string,
  folder: string,
  bounds: { bytes: number; entries: number },
): Promise<void> {
  const part = join(folder, 'part');
  await rm(part, { recursive: true, force: true });
  await mkdir(part, { mode: 0o700 });
  await copyTree(data, part, bounds);
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
