/** A copy of a state: what its instance may have made there, by root, while nobody runs in it. */
import { constants, type Stats } from 'node:fs';
import {
  type FileHandle,
  lchown,
  link,
  lstat,
  mkdir,
  open,
  readdir,
  readlink,
  symlink,
  utimes,
} from 'node:fs/promises';
import { join } from 'node:path';
import { BootwaveError } from '../../../../base/error.ts';

export type CopyBounds = {
  /** Of all files together, as long as they say that they are: holes count. */
  bytes: number;
  /** Files, folders and links. */
  entries: number;
};

const PIECE = 1 << 20;
/** Bytes of a unit of `st_blocks` (stat(2)). */
const BLOCK = 512;

/**
 * Copies a folder into an empty one: files, folders, links with owners and modes. Names that share one file share one
 * in the copy; sockets and pipes are left out. No link is followed.
 * @param bounds null: none, for what was copied within bounds before
 * @throws BootwaveError `SERVICE_STATE_COPY`: it is more than the bounds
 */
export async function copyTree(from: string, to: string, bounds: CopyBounds | null): Promise<void> {
  const count = counter(bounds);
  const linked = new Map<number, string>();
  const folders: [from: string, to: string][] = [[from, to]];
  for (let next = folders.pop(); next !== undefined; next = folders.pop()) {
    const [source, target] = next;
    for (const name of await readdir(source)) {
      const [path, copy] = [join(source, name), join(target, name)];
      const stat = await lstat(path);
      const earlier = stat.nlink > 1 ? linked.get(stat.ino) : undefined;
      count(stat, earlier !== undefined);
      if (earlier !== undefined) await link(earlier, copy);
      else if (stat.isDirectory()) {
        await mkdir(copy, { mode: 0o700 });
        folders.push([path, copy]);
      } else if (stat.isSymbolicLink()) await symlink(await readlink(path), copy);
      else if (stat.isFile()) {
        await copyFile(path, copy, stat.size);
        linked.set(stat.ino, copy);
      } else continue;
      if (earlier === undefined) await adopt(copy, stat);
    }
  }
}

/**
 * What `copyTree` would copy, while an instance may still change it.
 * @returns bytes that it takes, holes not counted
 * @throws BootwaveError `SERVICE_STATE_COPY`
 */
export async function measureTree(from: string, bounds: CopyBounds | null): Promise<number> {
  const count = counter(bounds);
  const linked = new Set<number>();
  let taken = 0;
  const folders = [from];
  for (let next = folders.pop(); next !== undefined; next = folders.pop())
    for (const name of await readdir(next).catch(() => [])) {
      const stat = await lstat(join(next, name)).catch(() => null);
      if (stat === null) continue;
      const isAgain = linked.has(stat.ino);
      count(stat, isAgain);
      if (stat.nlink > 1 && !stat.isDirectory()) linked.add(stat.ino);
      if (!isAgain) taken += stat.blocks * BLOCK;
      if (stat.isDirectory()) folders.push(join(next, name));
    }
  return taken;
}

/** Counts an entry. */
function counter(bounds: CopyBounds | null): (stat: Stats, isAgain: boolean) => void {
  if (bounds === null) return () => {};
  const left = { ...bounds };
  return (stat, isAgain) => {
    left.entries -= 1;
    if (stat.isFile() && !isAgain) left.bytes -= stat.size;
    if (left.entries < 0 || left.bytes < 0) throw tooMuch(bounds);
  };
}

async function adopt(path: string, stat: Stats): Promise<void> {
  await lchown(path, stat.uid, stat.gid);
  if (stat.isSymbolicLink()) return;
  const handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    // Never a bit that lets somebody else's program run as its owner.
    await handle.chmod(stat.mode & 0o1777);
    if (stat.isFile()) await handle.sync();
  } finally {
    await handle.close();
  }
  await utimes(path, stat.atime, stat.mtime);
}

async function copyFile(source: string, target: string, size: number): Promise<void> {
  const from = await open(source, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    const to = await open(target, 'wx', 0o600);
    try {
      await pour(from, to, size);
    } finally {
      await to.close();
    }
  } finally {
    await from.close();
  }
}

/** Where all is zero a hole stays a hole. */
async function pour(from: FileHandle, to: FileHandle, size: number): Promise<void> {
  const piece = Buffer.alloc(Math.min(PIECE, Math.max(1, size)));
  const zero = Buffer.alloc(piece.length);
  let at = 0;
  while (at < size) {
    const { bytesRead } = await from.read(piece, 0, Math.min(piece.length, size - at), at);
    if (bytesRead === 0) break;
    if (!piece.subarray(0, bytesRead).equals(zero.subarray(0, bytesRead)))
      for (let done = 0; done < bytesRead; )
        done += (await to.write(piece, done, bytesRead - done, at + done)).bytesWritten;
    at += bytesRead;
  }
  await to.truncate(size);
}

function tooMuch({ bytes, entries }: CopyBounds): BootwaveError {
  return new BootwaveError({
    code: 'SERVICE_STATE_COPY',
    what: `its state is more than ${bytes} bytes or ${entries} files, holes counted: no copy of it can be made`,
    unchanged: 'the state is as it was; the version that would change it was not started',
    next: 'publish a version that may keep more, or that does not migrate',
  });
}
