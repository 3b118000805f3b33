import { createHash } from 'node:crypto';
import type { Redis } from 'ioredis';
import { messageOf } from '../../base/error.ts';

/** A Lua script by its digest; the text is sent only to a server that has not seen it (or was restarted). */
export function script<Reply>(
  lua: string,
): (redis: Redis, keys: readonly string[], args: readonly string[]) => Promise<Reply> {
  const digest = createHash('sha1').update(lua).digest('hex');
  return async (redis, keys, args) => {
    try {
      return (await redis.evalsha(digest, keys.length, ...keys, ...args)) as Reply;
    } catch (error) {
      if (!messageOf(error).startsWith('NOSCRIPT')) throw error;
      return (await redis.eval(lua, keys.length, ...keys, ...args)) as Reply;
    }
  };
}
