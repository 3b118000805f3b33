import type { Redis } from 'ioredis';

/** A connection of its own for blocking reads, which fail soon when there is no server, so that their loops see it. */
export function blockingConnection(redis: Redis): Redis {
  const connection = redis.duplicate({ lazyConnect: false, commandTimeout: 30_000 });
  connection.on('error', () => {});
  return connection;
}
