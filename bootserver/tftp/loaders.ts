/**
 * The flat list of files that any machine may fetch. A request never becomes a path: it is compared with the names
 * that the folder really holds, and the folder's own name is opened. So there is nothing to traverse.
 */
import { constants } from 'node:fs';
import { type FileHandle, open, readdir } from 'node:fs/promises';
import { join } from 'node:path';

export type Loader = {
  name: string;
  handle: FileHandle;
  /** Bytes. */
  size: number;
  /** Milliseconds since the epoch. */
  modified: number;
  /** Changes when the content was replaced: inode, size and time of change. */
  identity: string;
};

/** Files that are being written (`writeFileAtomic`) or hidden are not on the list. */
function listed(name: string): boolean {
  return !name.startsWith('.') && !name.endsWith('.tmp');
}

/**
 * The names that a client may have meant, the likeliest first. Firmware puts slashes in front, or the backslashes of
 * other servers; ROMs that take option 67 for a string read on into the END option (0xff, RFC 2132 3.2) behind it; and
 * a name that a person typed into another DHCP server may end in blanks or line ends.
 */
function meant(asked: string): string[] {
  const plain = asked.replace(/^\/+/, '');
  const bare = plain
    .replace(/^[/\\]+/, '')
    .replace(/\xff.*$/s, '')
    .replace(/[\0-\x20\x7f]+$/, '');
  return plain === bare ? [plain] : [plain, bare];
}

/**
 * @param asked as the client wrote it, one character for each byte
 * @returns the open file, which the caller closes, or `undefined` when the folder lists no such file
 */
export async function openLoader(folder: string, asked: string): Promise<Loader | undefined> {
  let names: string[];
  try {
    names = (await readdir(folder, { withFileTypes: true })).filter((e) => e.isFile()).map((e) => e.name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  const name = meant(asked).find((wanted) => listed(wanted) && names.includes(wanted));
  if (name === undefined) return undefined;
  let handle: FileHandle;
  try {
    handle = await open(join(folder, name), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const { size, mtimeMs, ctimeMs, ino } = await handle.stat();
    return { name, handle, size, modified: mtimeMs, identity: `${ino}-${size}-${ctimeMs}` };
  } catch (error) {
    await handle.close();
    throw error;
  }
}
