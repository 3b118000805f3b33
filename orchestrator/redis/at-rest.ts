import { mkdir } from 'node:fs/promises';
import { BootwaveError } from '../../base/error.ts';
import type { DataPaths } from '../../base/paths.ts';
import { FileLock } from './lock.ts';
import { redisFiles } from './settings.ts';
import { externalUrl } from './url.ts';

/**
 * Runs `work` while no process uses the embedded Redis, so that its files can be copied: the last user stops it, and a
 * newcomer waits until `work` is done.
 * @param patience seconds that those who use the records have to finish
 * @throws BootwaveError `REDIS_EXTERNAL`, `REDIS_BUSY`
 */
export async function atRest<T>(paths: DataPaths, work: () => Promise<T>, patience = 30): Promise<T> {
  if (externalUrl() !== '') {
    throw new BootwaveError({
      code: 'REDIS_EXTERNAL',
      what: 'the records are in the Redis of BOOTWAVE_REDIS_URL and not in files of ours',
      unchanged: 'nothing was copied',
      next: 'unset BOOTWAVE_REDIS_URL for this fleet',
    });
  }
  const files = redisFiles(paths.redis);
  await mkdir(files.dir, { recursive: true, mode: 0o700 });
  const users = await FileLock.open(files.usersLock);
  try {
    if (!(await users.exclusive(patience))) {
      throw new BootwaveError({
        code: 'REDIS_BUSY',
        what: `another process has used the records in ${files.dir} for over ${patience} s`,
        unchanged: 'nothing was copied',
        next: 'end what watches or runs this fleet, then try again',
      });
    }
    return await work();
  } finally {
    await users.close();
  }
}
