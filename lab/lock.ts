import { link, readFile, rm, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { BootwaveError } from '../base/error.ts';
import { identify, isAlive, type ProcessId } from './process.ts';

/**
 * Holds a lock file while `work` runs. The file names its holder, so that the lock of a process that was killed is
 * taken over, and `link` makes it appear whole.
 * @throws BootwaveError `LAB_BUSY` when another living process holds it for `patience` milliseconds
 */
export async function withLock<T>(path: string, work: () => Promise<T>, patience = 30_000): Promise<T> {
  const own = `${path}.${process.pid}.${Math.random().toString(36).slice(2)}`;
  await writeFile(own, JSON.stringify(identify(process.pid)), { mode: 0o600 });
  try {
    const end = performance.now() + patience;
    while (!(await tryLink(own, path))) {
      const holder = await holderOf(path);
      if (holder === undefined || !isAlive(holder)) {
        await rm(path, { force: true });
      } else if (performance.now() > end) {
        throw new BootwaveError({
          code: 'LAB_BUSY',
          what: `process ${holder.pid} is switching this node already`,
          unchanged: 'the node was left as it is',
          next: 'try again when it is done',
        });
      } else {
        await sleep(50);
      }
    }
    try {
      return await work();
    } finally {
      await rm(path, { force: true });
    }
  } finally {
    await rm(own, { force: true });
  }
}

async function tryLink(own: string, path: string): Promise<boolean> {
  try {
    await link(own, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

async function holderOf(path: string): Promise<ProcessId | undefined> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as ProcessId;
  } catch {
    return undefined;
  }
}
