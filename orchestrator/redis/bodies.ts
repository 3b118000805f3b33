import type { Redis } from 'ioredis';

/** Records fetched in one round trip. */
const PAGE = 500;

/** The whole record behind each of these keys, JSON, in their order; null: there is none. */
export async function bodiesOf(redis: Redis, keys: readonly string[]): Promise<(string | null)[]> {
  const found: (string | null)[] = [];
  for (let i = 0; i < keys.length; i += PAGE) {
    const pipeline = redis.pipeline();
    for (const key of keys.slice(i, i + PAGE)) pipeline.hget(key, 'body');
    for (const [error, body] of (await pipeline.exec()) ?? []) {
      if (error !== null) throw error;
      found.push(typeof body === 'string' ? body : null);
    }
  }
  return found;
}
