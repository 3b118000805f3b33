import { Redis } from 'ioredis';
import { BootwaveError, messageOf } from '../../base/error.ts';
import { hangUp } from './connection.ts';

export type Probe = { state: 'absent' } | { state: 'loading' } | { state: 'ready'; pid: number; dir: string };

/** Identifies the server that listens on a unix socket. A stale socket (nobody behind it) counts as absent. */
export async function probe(socket: string): Promise<Probe> {
  const redis = new Redis({
    path: socket,
    lazyConnect: true,
    enableReadyCheck: false,
    retryStrategy: () => null,
    maxRetriesPerRequest: 0,
    connectTimeout: 5_000,
    commandTimeout: 5_000,
    disableClientInfo: true,
  });
  let fault: NodeJS.ErrnoException | undefined;
  redis.on('error', (error: NodeJS.ErrnoException) => {
    fault = error;
  });
  try {
    await redis.connect();
    const info = await redis.info('server');
    // Redis answers INFO and CONFIG while it still loads its files, and may yet end over them.
    if (/^loading:1/m.test(await redis.info('persistence'))) return { state: 'loading' };
    const [, dir = ''] = (await redis.config('GET', 'dir')) as string[];
    return { state: 'ready', pid: Number(/process_id:(\d+)/.exec(info)?.[1] ?? 0), dir };
  } catch (error) {
    if (messageOf(error).startsWith('LOADING')) return { state: 'loading' };
    if (fault?.code === 'EACCES') {
      throw new BootwaveError({
        code: 'REDIS_FORBIDDEN',
        what: `the Redis socket ${socket} belongs to another user`,
        unchanged: 'nothing was changed',
        next: 'run the command as the user who runs bootwave up (usually root)',
        cause: error,
      });
    }
    return { state: 'absent' };
  } finally {
    await hangUp(redis);
  }
}
