/**
 * What servers tell one another through Redis and nobody decides: with a code that only servers can make (HMAC, RFC 2104).
 * Whoever owns Redis can take such a value away, or put back an older one of the same thing; not make one.
 */
import { timingSafeEqual } from 'node:crypto';
import type { Redis } from 'ioredis';
import { type ServerKey, serverKeys, tagOf } from './audit/tags.ts';

const SEALED = /^(.*) ([0-9a-f]{8})\.([\w-]{22})$/s;

const attached = new WeakMap<Redis, readonly ServerKey[]>();

/** What is read on this connection from now on must be sealed; without a key it is believed. @param keys folder */
export async function sealShared(redis: Redis, keys: string): Promise<void> {
  const held = await serverKeys(keys, 'bootwave shared');
  if (held.length > 0) attached.set(redis, held);
}

export const isSealing = (redis: Redis): boolean => attached.has(redis);

/** @param about key and field: a value that was sealed for one thing does not open as another */
export function sealed(redis: Redis, about: string, text: string): string {
  const [oldest] = attached.get(redis) ?? [];
  return oldest === undefined ? text : `${text} ${oldest.id}.${tagOf(oldest, about, text)}`;
}

/** @returns null: no server of this fleet has written it */
export function unsealed(redis: Redis, about: string, value: string): string | null {
  const keys = attached.get(redis);
  const [, text, id, code] = SEALED.exec(value) ?? [];
  if (keys === undefined) return text ?? value;
  const key = keys.find((one) => one.id === id);
  if (text === undefined || code === undefined || key === undefined) return null;
  return timingSafeEqual(Buffer.from(code), Buffer.from(tagOf(key, about, text))) ? text : null;
}
