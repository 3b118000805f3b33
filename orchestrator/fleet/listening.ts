/**
 * Since when nobody has listened to the machines of a site. What is known of nodes is what a boot server heard last: without
 * one they keep the state that they had then, and look as healthy as ever.
 */
import type { Fleet } from './fleet.ts';
import { KEYS } from './keys.ts';

/** Milliseconds after which a server that said nothing of itself listens no longer. */
export const DEAF_AFTER = 15_000;

/** A site with nodes and no boot server that listens to them. */
export type Silence = {
  site: string;
  /** Milliseconds since the epoch of the last sign of life of its boot server; null: none is known. */
  since: number | null;
};

/**
 * To be said by a boot server every few seconds.
 * @param ends it is the last time: where another one listens, that one says so in a moment
 */
export async function noteListening(
  { redis }: Pick<Fleet, 'redis'>,
  site: string,
  at: number,
  ends = false,
): Promise<void> {
  await redis.hset(KEYS.listened, site, ends ? `${at} ended` : String(at));
}

/**
 * Sites to whose nodes nobody listens, by name; empty where all is well. Whoever shows what nodes do shows this with it.
 * @param now milliseconds since the epoch
 * @param only this site; all by default
 */
export async function silences(fleet: Fleet, now: number, only?: string): Promise<Silence[]> {
  const [sites, noted] = await Promise.all([fleet.sites.list(), fleet.redis.hgetall(KEYS.listened)]);
  const names = sites.map(({ name }) => name).filter((name) => only === undefined || name === only);
  const counts = await Promise.all(names.map((name) => fleet.redis.scard(KEYS.nodesOfSite(name))));
  return names
    .filter((_, i) => counts[i]! > 0)
    .flatMap((site) => {
      const [at, ended] = noted[site]?.split(' ') ?? [];
      const since = at === undefined ? null : Number(at);
      const listens = since !== null && ended === undefined && now - since <= DEAF_AFTER;
      return listens ? [] : [{ site, since }];
    })
    .sort((a, b) => a.site.localeCompare(b.site));
}
