import Bull, { type Queue } from 'bull';
import type { Redis, RedisOptions } from 'ioredis';
import { gatherCommands, hangUp, persistent } from '../../redis/connection.ts';
import { BULL_PREFIX } from './keys.ts';

/** Milliseconds. A killed worker is noticed after `lock`, at the next look every `stalled`. */
const QUEUE_TIMES = { lock: 10_000, renew: 3_000, stalled: 5_000 } as const;

/** Jobs are wake-ups: the records say what must be done. */
export type RolloutQueue = {
  queue: Queue<{ body: string }>;
  close(): Promise<void>;
};

/** bull waits by blocking reads and must outlast a restart of Redis: its connections never give up. */
const PATIENT = {
  maxRetriesPerRequest: null,
  enableReadyCheck: false,
  lazyConnect: false,
  // A blocking read takes as long as it takes.
  commandTimeout: undefined,
  retryStrategy: (times: number) => Math.min(20 * times, 500),
} as unknown as RedisOptions;

export function openQueue(redis: Redis): RolloutQueue {
  const connections: Redis[] = [];
  const queue = new Bull<{ body: string }>('rollouts', {
    prefix: BULL_PREFIX,
    createClient: () => {
      const connection = persistent(gatherCommands(redis.duplicate(PATIENT)));
      connection.on('error', () => {});
      connections.push(connection);
      return connection as never;
    },
    settings: {
      lockDuration: QUEUE_TIMES.lock,
      lockRenewTime: QUEUE_TIMES.renew,
      stalledInterval: QUEUE_TIMES.stalled,
      // A job that outlived many workers is still only a wake-up.
      maxStalledCount: 1_000_000,
    },
    defaultJobOptions: { removeOnComplete: true, removeOnFail: true, attempts: 1 },
  });
  queue.on('error', () => {});
  return {
    queue,
    async close() {
      // Jobs under way were told to stop, and other processes take them up; bull alone would wait for them for ever.
      await Promise.race([queue.close(true), new Promise((resolve) => setTimeout(resolve, 2_000).unref())]);
      await Promise.all(connections.map(hangUp));
    },
  };
}

/** A connection of its own for blocking reads, which fail soon when there is no server, so that their loops see it. */
export function blockingConnection(redis: Redis): Redis {
  const connection = persistent(redis.duplicate({ lazyConnect: false, commandTimeout: 30_000 }));
  connection.on('error', () => {});
  return connection;
}
