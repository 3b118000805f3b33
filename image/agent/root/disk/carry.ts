import { chown, lstat, mkdir, opendir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { DiskTools } from './luks.ts';

/** The agent's orders and records on the state partition (member/places.ts); downloads are fetched again. */
const FOLDER = 'agent';
/** Bytes of a file that is carried over: orders and records are far smaller. */
const LARGEST = 1024 * 1024;
/**
 * Most files that are carried over: the agent keeps a handful, and somebody who had the disk could have put millions
 * there.
 */
const MOST_FILES = 64;

const LIMIT = { timeout: 120_000 };

export type Carried = { name: string; data: Buffer; uid: number; gid: number }[];

/** Mounts a state file system for as long as `work` runs, where only this process sees it. */
async function withFolder<T>(
  device: string,
  mount: string,
  mode: 'ro' | 'rw',
  { run, mustRun }: DiskTools,
  work: (folder: string) => Promise<T>,
): Promise<T> {
  await mkdir(mount, { recursive: true, mode: 0o700 });
  await mustRun('mount', ['-t', 'ext4', '-o', `${mode},nosuid,nodev,noexec`, device, mount], LIMIT);
  try {
    return await work(join(mount, FOLDER));
  } finally {
    await run('umount', [mount], LIMIT);
  }
}

/** @returns the agent's files on a partition that was never sealed; none if it cannot be read */
export async function carriedFrom(device: string, mount: string, tools: DiskTools): Promise<Carried> {
  return withFolder(device, mount, 'ro', tools, async (folder) => {
    const carried: Carried = [];
    // A symbolic link in its place would lead to files of this system.
    if (!(await lstat(folder)).isDirectory()) return carried;
    for await (const { name } of await opendir(folder)) {
      if (carried.length >= MOST_FILES) break;
      const path = join(folder, name);
      const found = await lstat(path);
      if (!found.isFile() || found.size > LARGEST) continue;
      carried.push({ name, data: await readFile(path), uid: found.uid, gid: found.gid });
    }
    return carried;
  }).catch(() => []);
}

export async function carryTo(
  device: string,
  carried: Carried,
  mount: string,
  tools: DiskTools,
): Promise<void> {
  if (carried.length === 0) return;
  await withFolder(device, mount, 'rw', tools, async (folder) => {
    await mkdir(folder, { mode: 0o700 });
    for (const { name, data, uid, gid } of carried) {
      const path = join(folder, name);
      await writeFile(path, data, { mode: 0o600 });
      await chown(path, uid, gid);
    }
  });
}
