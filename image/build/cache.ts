import { createHash, randomBytes } from 'node:crypto';
import { mkdir, readdir, readlink, rename, stat, utimes } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { digestOfFile, exists } from '../../base/files.ts';
import { mustRun } from '../../base/run.ts';

/** The checkout that this file belongs to. */
export const REPOSITORY = resolve(import.meta.dirname, '../..');

export function cacheFolder(): string {
  // Empty counts as unset: it would otherwise mean the current folder.
  return resolve(process.env.BOOTWAVE_BUILD_CACHE || join(REPOSITORY, '.build/image'));
}

/** Entries kept of each kind; older ones are removed after a build. */
const KEPT = 3;

/**
 * Parts of an image that were made before, each in a folder named by the digest of all its inputs. An entry appears
 * whole, by a rename, or not at all. The caller holds the build lock.
 */
export class Cache {
  readonly folder: string;

  constructor(folder: string) {
    this.folder = folder;
  }

  /**
   * @param inputs everything that the entry depends on
   * @param make fills an empty folder
   * @returns the entry's folder
   */
  async entry(kind: string, inputs: unknown, make: (folder: string) => Promise<void>): Promise<string> {
    const digest = digestOf(inputs);
    const path = join(this.folder, kind, digest.slice(0, 32));
    if (await exists(path)) {
      const now = new Date();
      await utimes(path, now, now);
      return path;
    }
    await mkdir(join(this.folder, kind), { recursive: true });
    await this.temporary(async (folder) => {
      const inside = join(folder, 'entry');
      await mkdir(inside);
      await make(inside);
      await rename(inside, path);
    });
    return path;
  }

  async has(kind: string, inputs: unknown): Promise<boolean> {
    return await exists(join(this.folder, kind, digestOf(inputs).slice(0, 32)));
  }

  /**
   * A folder that exists while `work` runs, on the cache's own file system so that results can be renamed out of it.
   */
  async temporary<T>(work: (folder: string) => Promise<T>): Promise<T> {
    const folder = join(this.folder, `tmp-${randomBytes(6).toString('hex')}`);
    await mkdir(folder, { recursive: true });
    try {
      return await work(folder);
    } finally {
      await removeTree(folder);
    }
  }

  /** What a killed build left behind; safe because the caller holds the lock. */
  async sweep(): Promise<void> {
    for (const name of await readdir(this.folder).catch(() => []))
      if (name.startsWith('tmp-')) await removeTree(join(this.folder, name));
  }

  async prune(kinds: readonly string[]): Promise<void> {
    for (const kind of kinds) {
      const folder = join(this.folder, kind);
      const entries = await Promise.all(
        (await readdir(folder).catch(() => [])).map(async (name) => ({
          path: join(folder, name),
          used: (await stat(join(folder, name))).mtimeMs,
        })),
      );
      entries.sort((a, b) => b.used - a.used);
      for (const entry of entries.slice(KEPT)) await removeTree(entry.path);
    }
  }
}

/** Never crosses into another file system: a build that was killed may have left the host's /dev mounted inside. */
async function removeTree(path: string): Promise<void> {
  await mustRun('rm', ['-rf', '--one-file-system', '--', path]);
}

export function digestOf(inputs: unknown): string {
  return createHash('sha256').update(JSON.stringify(inputs)).digest('hex');
}

export async function digestOfFiles(paths: readonly string[]): Promise<string> {
  return digestOf(await Promise.all(paths.map(digestOfFile)));
}

/** Paths, permissions, link targets and contents below a folder, sorted: equal for equal trees on any machine. */
export async function digestOfTree(folder: string): Promise<string> {
  const lines: string[] = [];
  const walk = async (path: string, name: string): Promise<void> => {
    const entries = await readdir(path, { withFileTypes: true });
    entries.sort((a, b) => (a.name < b.name ? -1 : 1));
    for (const entry of entries) {
      const child = join(path, entry.name);
      const label = `${name}/${entry.name}`;
      if (entry.isDirectory()) {
        lines.push(`d ${label}`);
        await walk(child, label);
      } else if (entry.isSymbolicLink()) lines.push(`l ${label} ${await readlink(child)}`);
      else {
        const executable = ((await stat(child)).mode & 0o100) !== 0;
        lines.push(`f ${label} ${executable ? 'x' : '-'} ${await digestOfFile(child)}`);
      }
    }
  };
  await walk(folder, '');
  return digestOf(lines);
}
