/**
 * Bundles by their content: a file is called by its SHA-256, appears whole or not at all, and never changes. It knows
 * no word of services. Who changes it holds the lock of the releases.
 */

import { mkdir, mkdtemp, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { syncFolder } from '../../base/files.ts';
import { SHA256_HEX } from '../../formats/digest.ts';

export type Bundle = {
  /** Complete, on the same disk as the store; it is moved away. */
  file: string;
  sha256: string;
};

/** Folders in which bundles are made: with the id of the process, so that those of dead ones can be removed. */
const MAKING = /^\.making-(\d+)-/;

/** @param store the folder; it may be missing */
export async function storedBundles(store: string): Promise<string[]> {
  return (await namesIn(store)).filter((name) => SHA256_HEX.test(name));
}

export async function hasBundle(store: string, sha256: string): Promise<boolean> {
  return (
    SHA256_HEX.test(sha256) &&
    (await stat(join(store, sha256)).then(
      (found) => found.isFile(),
      () => false,
    ))
  );
}

/** They are on the medium when this resolves. */
export async function putBundles(store: string, bundles: readonly Bundle[]): Promise<void> {
  if (bundles.length === 0) return;
  await mkdir(store, { recursive: true });
  for (const { file, sha256 } of bundles) {
    const handle = await open(file, 'r');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(file, join(store, sha256));
  }
  await syncFolder(store);
}

/** Removes all others; whoever is reading one reads on. */
export async function keepBundles(store: string, named: ReadonlySet<string>): Promise<void> {
  for (const name of await namesIn(store)) {
    const maker = Number(MAKING.exec(name)?.[1] ?? 0);
    const isLeft = maker > 0 ? !isAlive(maker) : SHA256_HEX.test(name) && !named.has(name);
    if (isLeft) await rm(join(store, name), { recursive: true, force: true });
  }
}

/** A folder on the store's disk while `work` runs. */
export async function makingIn<T>(store: string, work: (folder: string) => Promise<T>): Promise<T> {
  await mkdir(store, { recursive: true });
  const folder = await mkdtemp(join(store, `.making-${process.pid}-`));
  try {
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function namesIn(store: string): Promise<string[]> {
  return readdir(store).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}
