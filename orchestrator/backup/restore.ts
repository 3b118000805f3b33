/**
 * Makes a data directory of a backup. All is done in a folder inside of it, and the result is moved to its place at the end, keys
 * last: a server starts on all of it, or says that there are no keys.
 */
import { mkdir, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { BootwaveError, messageOf, refusal } from '../../base/error.ts';
import { exists, syncFolder, writeFileAtomic } from '../../base/files.ts';
import type { Logger } from '../../base/log.ts';
import { type DataPaths, dataPaths } from '../../base/paths.ts';
import { mustRun } from '../../base/run.ts';
import { imageFile, publishedVersions } from '../../image/build/manifest.ts';
import type { By } from '../fleet/acting.ts';
import { openFleet } from '../operators/bans-of.ts';
import { connect } from '../redis/connect.ts';
import { FileLock } from '../redis/lock.ts';
import { redisFiles } from '../redis/settings.ts';
import { signerFiles } from '../signer/files.ts';
import { PARTIAL } from './contents.ts';
import { leaveEpochs, leaveToPeople, pauseRollouts, restraintsOf, takeBackWipes } from './prudence.ts';
import { unpack } from './read.ts';
import { placeRecords } from './records.ts';
import { joinSurvivor, type Survived } from './survivors.ts';

export type RestoreOptions = {
  /** Empty, or not there. */
  paths: DataPaths;
  from: string;
  /** File with age's private key. */
  identity: string;
  /** Fingerprint of the fleet's root certificate. */
  fleet: string;
  survivors: readonly string[];
  /** Refuses a backup that was begun before; milliseconds since the epoch. */
  after?: number | undefined;
  by: By;
  log: Logger;
};

export type Restored = {
  /** When the backup was begun: nothing that was decided or ordered after that is in it. Milliseconds since the epoch. */
  began: number;
  /** The machine that made it. */
  host: string;
  survived: Survived;
  nodes: number;
  /** Rollouts that would have gone on. */
  paused: string[];
  /** Nodes that were on their way through an incident. */
  incidents: string[];
  /** Services that are frozen or throttled, in words: they may have been let go since. */
  restraints: string[];
  /** Nodes whose consent to wipe has to be given again. */
  wipes: string[];
  /** Images of which only the facts are there. */
  images: string[];
};

const DONE = 'restored.json';
/** A server needs them to start. */
const LAST = 'keys';

/**
 * @throws BootwaveError `RESTORE_*`, `RESTORE_NOT_EMPTY`, `RESTORE_RUNNING`, `RESTORE_OLD`, `RESTORE_SURVIVOR`: the
 * data directory is as it was
 */
export async function restore(options: RestoreOptions): Promise<Restored> {
  const { root } = options.paths;
  const partial = join(root, PARTIAL);
  await mkdir(root, { recursive: true, mode: 0o700 });
  // One that was killed when all was whole is brought to its end.
  const done = await readFile(join(partial, DONE), 'utf8').catch(() => null);
  if (done === null) await mustBeEmpty(root);
  await mkdir(partial, { recursive: true, mode: 0o700 });
  const lock = await FileLock.open(join(partial, 'restore.lock'));
  try {
    if (!(await lock.exclusiveNow()))
      throw refusal('RESTORE_RUNNING', `another restore works in ${partial}`, 'wait until it has ended');
    const restored = done === null ? await prepare(options, partial) : (JSON.parse(done) as Restored);
    await moveAll(root, partial);
    return restored;
  } finally {
    await lock.close();
  }
}

async function mustBeEmpty(root: string): Promise<void> {
  const there = (await readdir(root)).filter((name) => ![PARTIAL, 'lost+found'].includes(name));
  if (there.length > 0)
    throw notEmpty(
      root,
      there,
      'end what runs on it, move it away, and name it with --survivor, so that what it knows is not lost',
    );
}

const notEmpty = (root: string, there: readonly string[], next: string): BootwaveError =>
  new BootwaveError({
    code: 'RESTORE_NOT_EMPTY',
    what: `${root} is not empty: it has ${there.slice(0, 3).join(', ')}`,
    unchanged: 'no server finds a fleet there that it did not have before',
    next,
  });

async function prepare(options: RestoreOptions, partial: string): Promise<Restored> {
  const data = join(partial, 'data');
  try {
    // What one that was killed has left, its Redis too.
    await endRedis(dataPaths(data));
    await rm(data, { recursive: true, force: true });
    await mkdir(data, { mode: 0o700 });
    const restored = await build(options, data, join(partial, 'records.rdb'));
    await mustRun('sync', ['-f', data]);
    await writeFileAtomic(join(partial, DONE), `${JSON.stringify(restored)}\n`);
    return restored;
  } catch (error) {
    await rm(partial, { recursive: true, force: true });
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOSPC' && code !== 'EDQUOT') throw error;
    throw new BootwaveError({
      code: 'RESTORE_DISK',
      what: `the disk is full: ${messageOf(error)}`,
      unchanged: 'nothing was restored',
      next: 'make room where the data directory is, and try again',
      cause: error,
    });
  }
}

/** Ends the Redis of a data directory, which goes on when the program that started it was killed. */
export async function endRedis(paths: DataPaths): Promise<void> {
  if (!(await exists(redisFiles(paths.redis).socket))) return;
  await connect(paths, { url: '' }).then(
    ({ close }) => close(),
    () => {},
  );
}

async function build(options: RestoreOptions, into: string, records: string): Promise<Restored> {
  const { from, identity, fleet, survivors, after = 0, by, log } = options;
  await rm(records, { force: true });
  const { began, host } = await unpack({ from, identity, fleet, into, records });
  const taken = new Date(began).toISOString();
  if (began < after)
    throw refusal(
      'RESTORE_OLD',
      `this backup is of ${taken}, which is older than you asked for`,
      'take a newer one',
    );
  const survived: Survived = { decisions: 0, lines: 0, orders: 0, files: 0 };
  for (const survivor of survivors) {
    const found = await joinSurvivor({ root: into, survivor, began, now: by.at });
    for (const [what, count] of Object.entries(found)) survived[what as keyof Survived] += count;
  }
  const paths = dataPaths(into);
  const signer = signerFiles(paths);
  await mkdir(signer.folder, { recursive: true, mode: 0o700 });
  await leaveEpochs(signer, by.at);
  const wipes = await takeBackWipes(signer, by);
  await placeRecords(redisFiles(paths.redis).dir, records);
  const connection = await connect(paths, { url: '', log });
  try {
    const opened = await openFleet(paths, connection.redis, log);
    const why = `a backup of ${taken} was restored`;
    const since = `${why}: it may have ended since`;
    const paused = await pauseRollouts(opened.fleet, by, since);
    const incidents = await leaveToPeople(opened.fleet, by, since);
    const restraints = await restraintsOf(opened.fleet);
    const detail = { host, decisions: String(survived.decisions), orders: String(survived.orders) };
    await opened.fleet.audit.append({ ...by, action: 'restore', reason: why, detail });
    const nodes = (await opened.fleet.nodes.ids()).length;
    // The first start is the one that people wait for.
    await opened.bans.keepSnapshot();
    const done = { began, host, survived, nodes, paused, incidents, restraints, wipes };
    return { ...done, images: await imagesWithout(paths) };
  } finally {
    await connection.close();
  }
}

async function imagesWithout({ images }: DataPaths): Promise<string[]> {
  const all = await publishedVersions(images);
  const there = await Promise.all(all.map((version) => exists(imageFile(images, version))));
  return all.filter((_, i) => !there[i]);
}

/** Can be stopped anywhere and called again: it goes on from there. @throws BootwaveError `RESTORE_NOT_EMPTY`: somebody put something there meanwhile */
async function moveAll(root: string, partial: string): Promise<void> {
  const data = join(partial, 'data');
  const names = await readdir(data).catch(() => []);
  for (const name of names.toSorted((a, b) => Number(a === LAST) - Number(b === LAST))) {
    if (name === LAST) await syncFolder(root);
    await rename(join(data, name), join(root, name)).catch((cause: NodeJS.ErrnoException) => {
      if (cause.code !== 'ENOTEMPTY' && cause.code !== 'EEXIST') throw cause;
      throw notEmpty(root, [name], 'take that away, and restore again: it goes on where it was');
    });
  }
  await syncFolder(root);
  await rm(partial, { recursive: true, force: true });
}
