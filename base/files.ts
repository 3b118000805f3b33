import { createHash, randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { access, link, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** Whether anything is there that this process may see. */
export function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/** Bytes; 0 where there is no file. */
export async function sizeOf(path: string): Promise<number> {
  return (await stat(path).catch(() => null))?.size ?? 0;
}

/** Makes a rename or a creation in `folder` durable (POSIX: a directory entry is data of the directory). */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Writes a file, and waits until its content is on the medium. Its name lasts only after `syncFolder`. */
export async function writeSynced(
  path: string,
  content: string | Uint8Array,
  flags: 'w' | 'wx',
  mode: number,
): Promise<void> {
  const handle = await open(path, flags, mode);
  try {
    await handle.writeFile(content);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Writes the whole content beside `path`, durably, lets `place` give it its name, and leaves nothing else behind. */
async function placed(
  path: string,
  content: string | Uint8Array,
  mode: number,
  place: (temporary: string) => Promise<void>,
): Promise<void> {
  const temporary = `${path}.${randomBytes(6).toString('hex')}.tmp`;
  try {
    await writeSynced(temporary, content, 'wx', mode);
    await place(temporary);
  } finally {
    await rm(temporary, { force: true });
  }
  await syncFolder(dirname(path));
}

/** Milliseconds after which a file that is still being written is one of a process that was killed. */
const ABANDONED = 3600_000;

/** Removes temporary files of processes that were killed. @param beginning of their names */
export async function removeAbandoned(folder: string, beginning = ''): Promise<void> {
  for (const name of await readdir(folder)) {
    if (!name.startsWith(beginning) || !name.endsWith('.tmp')) continue;
    const path = join(folder, name);
    const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: Number.POSITIVE_INFINITY }));
    if (Date.now() - mtimeMs > ABANDONED) await rm(path, { force: true });
  }
}

/**
 * Writes a whole file or nothing: temporary file beside it, fsync, rename, fsync of the folder. After a power cut the
 * reader sees the old content or the new, never a part.
 * @param mode permission bits; the default keeps the file to its owner because most callers write secrets
 */
export function writeFileAtomic(path: string, content: string | Uint8Array, mode = 0o600): Promise<void> {
  return placed(path, content, mode, (temporary) => rename(temporary, path));
}

/**
 * Creates a whole file or leaves the one that is there: the finished temporary file is linked into place, which
 * fails where the name exists, so that two processes cannot overwrite each other's secret.
 * @returns false when the file was there already
 */
export async function createFileAtomic(
  path: string,
  content: string | Uint8Array,
  mode = 0o600,
): Promise<boolean> {
  try {
    await placed(path, content, mode, (temporary) => link(temporary, path));
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

/** @returns SHA-256 of its content, hex */
export async function digestOfFile(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const piece of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(piece as Buffer);
  return hash.digest('hex');
}

/** A file that is open for reading. */
export type OpenFile = {
  /** Bytes. */
  size: number;
  /** @returns how many bytes were there */
  read(into: Buffer, at: number): Promise<number>;
};

/** Opens a file for as long as `use` needs it. Errors of the file system are thrown as they are. */
export async function withFile<T>(path: string, use: (file: OpenFile) => Promise<T>): Promise<T> {
  const handle = await open(path, 'r');
  try {
    const { size } = await handle.stat();
    return await use({
      size,
      read: async (into, at) => (await handle.read(into, 0, into.length, at)).bytesRead,
    });
  } finally {
    await handle.close();
  }
}
