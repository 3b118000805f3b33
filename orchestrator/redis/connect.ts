import { Redis, type RedisOptions } from 'ioredis';
import { BootwaveError, messageOf } from '../../base/error.ts';
import type { Logger } from '../../base/log.ts';
import type { DataPaths } from '../../base/paths.ts';
import { within } from '../../base/wait.ts';
import { QuietLog } from '../../bootserver/quiet-log.ts';
import { checkOwnRedis } from '../rehearsal/marker.ts';
import { gatherCommands, hangUp, persistent } from './connection.ts';
import { ensureRunning, prepareFolder, waitUntilStopped } from './embedded.ts';
import { isDemoted, judgeKeeping, readKeeping } from './external.ts';
import { FileLock } from './lock.ts';
import { redisFiles } from './settings.ts';
import { externalUrl, redisOptionsOf } from './url.ts';

export type Connection = {
  /** For further connections (blocking reads, bull's `createClient`): `redis.duplicate(overrides)`. */
  redis: Redis;
  /** Ends this connection; the last process that uses an embedded Redis stops it. */
  close(): Promise<void>;
};

export type ConnectOptions = { log?: Logger; signal?: AbortSignal; url?: string | undefined };

/** Seconds that a newcomer waits while the last user stops the embedded Redis. */
const WAIT_FOR_STOP = 60;

/**
 * A lost connection is tried again every 20 to 500 ms; a command fails after about 2.5 s without a server, so that a
 * boot server can say "unavailable" instead of keeping a machine waiting.
 */
const PATIENCE = {
  maxRetriesPerRequest: 15,
  connectTimeout: 5_000,
  commandTimeout: 15_000,
};

/**
 * Connects to the fleet's Redis: `BOOTWAVE_REDIS_URL` when set, else the embedded one below `<data>/redis`, which is
 * started when it does not run, and again whenever it dies while this connection is open.
 * @throws BootwaveError `REDIS_FAILED`, `REDIS_FOREIGN`, `REDIS_FORBIDDEN`, `REDIS_UNREACHABLE`, `REDIS_URL`, `REDIS_EVICTS`, `REHEARSAL_REDIS`, ...
 */
export async function connect(paths: DataPaths, options: ConnectOptions = {}): Promise<Connection> {
  const url = options.url ?? externalUrl();
  if (url === '') return connectEmbedded(paths, options);
  await checkOwnRedis(paths);
  return connectExternal(url, options);
}

async function connectEmbedded(paths: DataPaths, { log, signal }: ConnectOptions): Promise<Connection> {
  const files = redisFiles(paths.redis);
  await prepareFolder(files);
  const users = await FileLock.open(files.usersLock);
  let redis: Redis | undefined;
  let closing = false;
  try {
    if (!(await users.shared(WAIT_FOR_STOP))) {
      throw new BootwaveError({
        code: 'REDIS_BUSY',
        what: `another process has been stopping the embedded Redis for over ${WAIT_FOR_STOP} s`,
        unchanged: 'nothing was written',
        next: `look at ${files.log}, then try again`,
      });
    }
    await ensureRunning(files, signal);
    redis = new Redis({
      ...PATIENCE,
      path: files.socket,
      lazyConnect: true,
      retryStrategy: (times) => (closing ? null : Math.min(20 * times, 500)),
    });
    gatherCommands(redis);
    let reviving = false;
    // One that ends at each start is tried for ever, and must not fill the log.
    const told = log && new QuietLog(log);
    const revive = () => {
      if (closing || reviving) return;
      reviving = true;
      ensureRunning(files, signal)
        .then((started) => {
          if (started)
            told?.warn(
              'REDIS_RESTARTED',
              {},
              'the embedded Redis had ended and was started again, with all it had acknowledged',
            );
        })
        .catch((error: unknown) => {
          if (!closing)
            told?.error(
              'REDIS_ENDED',
              { reason: messageOf(error) },
              'the embedded Redis cannot be started again',
            );
        })
        .finally(() => {
          reviving = false;
        });
    };
    redis.on('error', (error) => log?.debug({ reason: messageOf(error) }, 'Redis connection'));
    redis.on('close', revive);
    await redis.connect();
  } catch (error) {
    closing = true;
    if (redis !== undefined) await hangUp(redis);
    await users.close();
    throw error;
  }
  const open = redis;
  return {
    redis: open,
    close: async () => {
      if (closing) return;
      closing = true;
      try {
        // Nobody can begin to use the server between this lock and its end, so nobody loses a connection.
        if (await users.exclusiveNow()) {
          await open.shutdown('NOSAVE').catch(() => {});
          await waitUntilStopped(files);
        }
      } finally {
        await hangUp(open);
        await users.close();
      }
    },
  };
}

async function connectExternal(url: string, { log }: ConnectOptions): Promise<Connection> {
  const own = {
    ...PATIENCE,
    lazyConnect: true,
    retryStrategy: (times: number) => Math.min(20 * times, 500),
    // 2: connect again and send the command once more.
    reconnectOnError: (error: Error) => (isDemoted(error) ? 2 : false),
  } satisfies RedisOptions;
  const where = redisOptionsOf(url);
  const redis = typeof where === 'string' ? new Redis(where, own) : new Redis({ ...own, ...where });
  gatherCommands(redis);
  redis.on('error', (error) => log?.debug({ reason: messageOf(error) }, 'Redis connection'));
  try {
    // Sentinels that know no master would be asked for ever: at a start the user wants to know.
    await within(redis.connect(), PATIENCE.commandTimeout);
    persistent(redis);
    const told = log && new QuietLog(log);
    redis.on('ready', () => told?.warn('REDIS_BACK', {}, 'the connection to Redis was lost and is back'));
    for (const warning of judgeKeeping(await readKeeping(redis))) log?.warn(warning);
  } catch (error) {
    await hangUp(redis);
    if (error instanceof BootwaveError) throw error;
    // The URL may hold a password: texts name only its variable.
    throw new BootwaveError({
      code: 'REDIS_UNREACHABLE',
      what: `the Redis of BOOTWAVE_REDIS_URL cannot be used: ${messageOf(error)}`,
      unchanged: 'nothing was written',
      next: 'check the URL, the password and that the server runs',
    });
  }
  return {
    redis,
    close: async () => {
      await hangUp(redis);
    },
  };
}
