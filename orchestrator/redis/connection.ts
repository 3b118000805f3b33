import type { Socket } from 'node:net';
import type { Redis } from 'ioredis';
import { gatherWrites } from '../../base/gather-writes.ts';

/** The event that ends a connection, also while it is not connected. */
const OVER = 'bootwave:over';

/**
 * Ends a connection and waits for its end, so that nothing of it keeps the process alive. ioredis 6 arms a timer of
 * two seconds when it is told to disconnect a stream that has closed already: every command would end that much later.
 */
export function hangUp(redis: Redis): Promise<void> {
  redis.emit(OVER);
  if (redis.status === 'end' || redis.status === 'close') return Promise.resolve();
  return new Promise((resolve) => {
    // While it waits to connect again there is no stream whose end could be waited for.
    if (redis.status === 'reconnecting') resolve();
    else redis.once('end', resolve);
    redis.disconnect();
  });
}

/** Milliseconds. */
const RETRY = 200;

/**
 * For a connection by way of Sentinels, until it is told to end. When a Sentinel announces a failover in the moment in which ioredis
 * connects anew, its FailoverDetector stops the connector and ioredis 6.0 gives the connection up for good: a server would
 * be deaf from then on. Such a connection is made again.
 */
export function persistent(redis: Redis): Redis {
  if (redis.options.sentinels == null) return redis;
  let told = false;
  redis.once(OVER, () => {
    told = true;
  });
  const { disconnect, quit } = redis;
  redis.disconnect = (reconnect?: boolean) => {
    told ||= reconnect !== true;
    disconnect.call(redis, reconnect);
  };
  redis.quit = ((...args: []) => {
    told = true;
    return quit.apply(redis, args);
  }) as typeof quit;
  redis.on('end', () => {
    if (told) return;
    setTimeout(() => {
      if (!told && redis.status === 'end') redis.connect().catch(() => {});
    }, RETRY);
  });
  return redis;
}

/** Commands that are given in one turn reach Redis together, on this connection and on each that takes its place. */
export function gatherCommands(redis: Redis): Redis {
  redis.on('connect', () => gatherWrites(redis.stream as Socket));
  return redis;
}
