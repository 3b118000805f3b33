import type { Socket } from 'node:net';
import type { Redis } from 'ioredis';
import { gatherWrites } from '../../base/gather-writes.ts';

/**
 * Ends a connection and waits for its end, so that nothing of it keeps the process alive. ioredis 6 arms a timer of
 * two seconds when it is told to disconnect a stream that has closed already: every command would end that much later.
 */
export function hangUp(redis: Redis): Promise<void> {
  if (redis.status === 'end' || redis.status === 'close') return Promise.resolve();
  return new Promise((resolve) => {
    // While it waits to connect again there is no stream whose end could be waited for.
    if (redis.status === 'reconnecting') resolve();
    else redis.once('end', resolve);
    redis.disconnect();
  });
}

/** Commands that are given in one turn reach Redis together, on this connection and on each that takes its place. */
export function gatherCommands(redis: Redis): Redis {
  redis.on('connect', () => gatherWrites(redis.stream as Socket));
  return redis;
}
