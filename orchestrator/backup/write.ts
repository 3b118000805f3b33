/** Makes a backup of a data directory that a server may be working in. */
import { type FileHandle, lstat, open, readlink, realpath, rename, rm } from 'node:fs/promises';
import { hostname } from 'node:os';
import { basename, dirname, join, relative, sep } from 'node:path';
import { refusal } from '../../base/error.ts';
import { removeAbandoned, syncFolder } from '../../base/files.ts';
import type { DataPaths } from '../../base/paths.ts';
import { withLock } from '../../image/build/lock.ts';
import type { Fleet } from '../fleet/fleet.ts';
import { Archive } from './archive.ts';
import { type Part, partOf } from './contents.ts';
import {
  DATA,
  FORMAT,
  fleetOf,
  HEAD,
  MANIFEST,
  type Manifest,
  RECORDS,
  SIGNATURE,
  signManifest,
} from './manifest.ts';
import { recordsOf } from './records.ts';
import { walk } from './walk.ts';

/** Bytes of the content of Redis in one entry. */
const PIECE = 4 << 20;
/** Bytes that are read at once. */
const READ = 1 << 20;
const NEWLINE = 0x0a;

export type BackupOptions = {
  paths: DataPaths;
  fleet: Fleet;
  /** A file that is not there yet, or a pipe. */
  to: string;
  /** Public keys, as age takes them. */
  recipients: readonly string[];
  /** Images and bundles too. */
  large: boolean;
  signal: AbortSignal;
  now(): number;
};

export type Backup = Pick<Manifest, 'fleet' | 'began' | 'ended'> & {
  files: number;
  /** Bytes before it was compressed. */
  bytes: number;
  /** Entries that this version does not know; they are in it. */
  unknown: string[];
};

/**
 * What was written before it began is in it, whole; what is written meanwhile may be.
 * @throws BootwaveError `BACKUP_EXISTS`, `BACKUP_INSIDE`, `BACKUP_WRITE`, `BACKUP_RECIPIENT`, `BACKUP_REDIS`, `KEYS_MISSING`; no file is left then
 */
export async function backUp(options: BackupOptions): Promise<Backup> {
  const { to, recipients, signal } = options;
  const target = await targetOf(options);
  const handle = await open(target, 'w', 0o600);
  let archive: Archive | null = null;
  try {
    archive = new Archive(recipients, handle.fd);
    const done = await fill(archive, options);
    if (target !== to) {
      await handle.sync();
      await rename(target, to);
      await syncFolder(dirname(to));
    }
    return done;
  } catch (error) {
    await archive?.abandon();
    if (target !== to) await rm(target, { force: true });
    signal.throwIfAborted();
    throw error;
  } finally {
    await handle.close();
  }
}

/** Where it is written until it is whole; a pipe gets it as it comes. */
async function targetOf({ to, paths }: BackupOptions): Promise<string> {
  const there = await lstat(to).catch(() => null);
  if (there !== null && !there.isFile() && !there.isDirectory()) return to;
  if (there !== null) throw refusal('BACKUP_EXISTS', `${to} is there already`, 'name a file that is not');
  const folder = await realpath(dirname(to));
  const inside = relative(await realpath(paths.root), folder);
  if (inside !== '..' && !inside.startsWith(`..${sep}`))
    throw refusal(
      'BACKUP_INSIDE',
      `${to} lies in the data directory that it is a backup of`,
      'write it elsewhere',
    );
  await removeAbandoned(folder, basename(to));
  return `${to}.${process.pid}.tmp`;
}

async function fill(archive: Archive, options: BackupOptions): Promise<Backup> {
  const { paths, fleet, large, now, signal } = options;
  const began = now();
  await archive.text(HEAD, `${JSON.stringify({ bootwaveBackup: FORMAT })}\n`);
  const files = (await walk(paths.root)).map((path) => ({ path, ...partOf(path) }));
  // All before it holds its place; what is as late as another one comes by its name.
  const turns = files.filter(
    ({ part }) => part !== 'made' && part !== 'records' && (large || part !== 'large'),
  );
  const unknown = turns.filter(({ part }) => part === 'unknown').map(({ path }) => path);
  for (const turn of [0, 1, 2, 3, 4]) {
    if (turn === 1) await addRecords(archive, fleet);
    const here = turns.filter((one) => one.turn === turn);
    const isReleases = ({ path }: { path: string }) => path.startsWith('releases/');
    for (const one of here) {
      signal.throwIfAborted();
      if (!isReleases(one)) await addFile(archive, paths.root, one);
    }
    // Of release metadata only a whole state is of use.
    if (here.some(isReleases))
      await withLock(join(paths.releases, '.lock'), async () => {
        for (const path of await walk(paths.root, 'releases'))
          if (partOf(path).part === 'keep') await addFile(archive, paths.root, { path, part: 'keep' });
      });
  }
  const entries = [...archive.entries];
  const manifest: Manifest = {
    ...{ format: FORMAT, fleet: await fleetOf(paths.keys), host: hostname() },
    ...{ began, ended: now(), large, entries },
  };
  const text = `${JSON.stringify(manifest)}\n`;
  await archive.text(MANIFEST, text);
  await archive.text(SIGNATURE, `${await signManifest(paths.keys, text)}\n`);
  await archive.close();
  const bytes = entries.reduce((sum, { size }) => sum + size, 0);
  return { fleet: manifest.fleet, began, ended: manifest.ended, files: entries.length, bytes, unknown };
}

async function addRecords(archive: Archive, { redis }: Fleet): Promise<void> {
  let held: Buffer[] = [];
  let size = 0;
  let number = 0;
  const put = async () => {
    number += 1;
    const path = `${RECORDS}${String(number).padStart(6, '0')}`;
    await archive.add({ path, size, mode: 0o600 }, held);
    [held, size] = [[], 0];
  };
  for await (const piece of recordsOf(redis)) {
    held.push(piece);
    size += piece.length;
    if (size >= PIECE) await put();
  }
  if (size > 0) await put();
}

async function addFile(
  archive: Archive,
  root: string,
  { path, part }: { path: string; part: Part },
): Promise<void> {
  const full = join(root, path);
  const there = await lstat(full).catch(gone);
  if (there?.isSymbolicLink()) {
    const linkname = await readlink(full);
    return archive.add({ path: DATA + path, size: 0, linkname }, []);
  }
  const handle = there === null ? null : await open(full).catch(gone);
  // It was taken away meanwhile, as files are that nothing names any more.
  if (handle === null) return;
  try {
    const { size: now, mode } = await handle.stat();
    const size = part === 'grows' || part === 'ledger' ? await wholeLines(handle, now) : now;
    await archive.add({ path: DATA + path, size, mode: mode & 0o777 }, bytesOf(handle, size));
  } finally {
    await handle.close();
  }
}

function gone(error: NodeJS.ErrnoException): null {
  if (error.code === 'ENOENT') return null;
  throw error;
}

async function* bytesOf(handle: FileHandle, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < size; ) {
    const { buffer, bytesRead } = await handle.read(
      Buffer.alloc(Math.min(READ, size - at)),
      0,
      undefined,
      at,
    );
    if (bytesRead === 0)
      throw refusal('BACKUP_CHANGED', 'a file became shorter while it was read', 'try again');
    at += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}

/** What follows the last line end is still being written. */
async function wholeLines(handle: FileHandle, size: number): Promise<number> {
  for (let end = size; end > 0; ) {
    const start = Math.max(0, end - READ);
    const { buffer } = await handle.read(Buffer.alloc(end - start), 0, end - start, start);
    const at = buffer.lastIndexOf(NEWLINE);
    if (at >= 0) return start + at + 1;
    end = start;
  }
  return 0;
}
