import type { Redis } from 'ioredis';

export type StreamItem = [key: string, fields: string[]];

/** Entries in one round trip. */
export const PAGE = 500;

/**
 * A stream page by page, oldest first, to the end that it has when that is reached.
 * @param start as of XRANGE: `-`, a key, or `(` and the key after which to begin
 */
export async function* pagesOf(redis: Redis, stream: string, start: string): AsyncGenerator<StreamItem[]> {
  for (let from = start; ; ) {
    const page = await redis.xrange(stream, from, '+', 'COUNT', PAGE);
    yield page;
    const end = page.at(-1);
    if (end === undefined || page.length < PAGE) return;
    from = `(${end[0]}`;
  }
}
