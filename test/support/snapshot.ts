/**
 * Racks that tests begin from where the way there is not what they prove. The suite builds each from the tree under test, by
 * real boots, and keeps it by the digest of all that went in; another tree, QEMU or firmware has another one.
 */
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { exists } from '../../base/files.ts';
import { digestOf, REPOSITORY } from '../../image/build/cache.ts';
import { withLock } from '../../image/build/lock.ts';
import { saveLab } from '../../lab/save.ts';
import { machinesDigest, readSaved, unfit } from '../../lab/saved.ts';
import { treeDigest } from '../../lab/tree-digest.ts';
import type { Rack } from './rack.ts';

const FOLDER = join(REPOSITORY, '.build/snapshots');

/**
 * @param kind a name of the rack
 * @param build makes it; the rack is saved, and ends
 * @returns the folder that `Rack.restore` takes
 */
export async function snapshot(kind: string, build: () => Promise<Rack>): Promise<string> {
  await mkdir(FOLDER, { recursive: true });
  return withLock(join(FOLDER, `${kind}.lock`), async () => {
    const folder = await folderOf(kind);
    if (await isUsable(folder)) return folder;
    const rack = await build();
    try {
      await keep(kind, rack, true);
    } finally {
      await rack.lab.down();
    }
    return folder;
  });
}

export type Walk = {
  /** Saves the rack, which runs on. */
  keep(rack: Rack): Promise<void>;
  /** To be called in any case: who waits builds the rack if it was not kept. */
  end(): Promise<void>;
};

/**
 * For the test that proves the way to a rack: it is walked each time, and kept for those who begin from it. They wait, and do
 * not walk beside it.
 */
export async function walk(kind: string): Promise<Walk> {
  await mkdir(FOLDER, { recursive: true });
  const begun = Promise.withResolvers<void>();
  const over = Promise.withResolvers<void>();
  const locked = withLock(join(FOLDER, `${kind}.lock`), () => {
    begun.resolve();
    return over.promise;
  });
  await Promise.race([begun.promise, locked]);
  const end = () => {
    over.resolve();
    return locked;
  };
  return {
    keep: async (rack) => {
      await keep(kind, rack, false);
      await end();
    },
    end,
  };
}

async function keep(kind: string, rack: Rack, last: boolean): Promise<void> {
  for (const name of await readdir(FOLDER))
    if (name.startsWith(`${kind}-`)) await rm(join(FOLDER, name), { recursive: true, force: true });
  await saveLab(rack.lab, await folderOf(kind), { last, replace: true });
}

async function folderOf(kind: string): Promise<string> {
  const inputs = [await machinesDigest([], 'tcg', {}), await treeDigest(['test/support'])];
  return join(FOLDER, `${kind}-${digestOf(inputs).slice(0, 20)}`);
}

async function isUsable(folder: string): Promise<boolean> {
  if (!(await exists(join(folder, 'saved.json')))) return false;
  const record = await readSaved(folder);
  const machines = await machinesDigest(record.nodes, record.accelerator, record.shapes);
  // A test that begins from it may take an hour.
  return unfit(record, machines, Date.now() + 3600_000) === null;
}
