/** What waits for what. */
import type { Redis } from 'ioredis';
import { ROLLOUT_KEYS } from './keys.ts';
import { ifForgotten, type Link, readRollout, readSetup } from './stored.ts';

/** The rollout that this one waits for or followed, if any; this one; and all that follow it, in order. */
export async function readChain(redis: Redis, id: string): Promise<Link[]> {
  const own = await linkOf(redis, id);
  const before = own.after === undefined ? [] : [await linkOf(redis, own.after.rollout).catch(ifForgotten)];
  return [...before.filter((link) => link !== null), own, ...(await following(redis, id))];
}

async function following(redis: Redis, id: string): Promise<Link[]> {
  const links: Link[] = [];
  for (const next of (await redis.smembers(ROLLOUT_KEYS.followers(id))).sort()) {
    const link = await linkOf(redis, next).catch(ifForgotten);
    if (link !== null) links.push(link, ...(await following(redis, next)));
  }
  return links;
}

async function linkOf(redis: Redis, id: string): Promise<Link> {
  const [{ setup }, { state, why }] = await Promise.all([readSetup(redis, id), readRollout(redis, id)]);
  const { target, after } = setup;
  return { id, ...target, state, why, ...(after === undefined ? {} : { after }) };
}
