/**
 * Rollouts that ended long ago leave Redis: each is one record a node, and nobody goes back to them. What happened in them
 * stays in the history and in the log of decisions.
 */
import type { Redis } from 'ioredis';
import type { Logger } from '../../../base/log.ts';
import type { DataPaths } from '../../../base/paths.ts';
import { publishedVersions } from '../../../image/build/manifest.ts';
import { keepLooking } from '../../upkeep/look.ts';
import { ENDED, type RolloutRecord } from '../record.ts';
import { forEachRollout } from './each.ts';
import { ROLLOUT_KEYS } from './keys.ts';
import { readSetup } from './stored.ts';

export const OLD = {
  /** Milliseconds after its end. */
  age: 90 * 24 * 3600_000,
  /** The newest stay, however old they are. */
  keep: 20,
} as const;

/** Milliseconds between two looks. */
const EVERY = 3600_000;

/** Until the signal aborts; of several orchestrators one at a time. Never rejects. */
export function keepForgetting(options: {
  redis: Redis;
  paths: Pick<DataPaths, 'images'>;
  log: Logger;
  signal: AbortSignal;
}): Promise<void> {
  const { redis, log, paths } = options;
  const told = new Set<string>();
  return keepLooking({ ...options, name: 'old-rollouts', every: EVERY }, async () => {
    const published = await publishedVersions(paths.images);
    await forgetOld(redis, { at: Date.now(), published, log, told });
  });
}

/**
 * @param at milliseconds since the epoch
 * @param published versions of images: who refuses one that is gone is of no use to anybody
 * @returns the ids of those that are gone
 */
export async function forgetOld(
  redis: Redis,
  {
    at,
    published,
    log,
    told = new Set(),
  }: { at: number; published: readonly string[]; log: Logger; told?: Set<string> },
): Promise<string[]> {
  const ids = await redis.sdiff(ROLLOUT_KEYS.all, ROLLOUT_KEYS.live);
  const ended: { id: string; endedAt: number }[] = [];
  const message = 'a rollout that ended cannot be looked at';
  await forEachRollout(ids, { told, log, message }, async (id) => {
    const body = await redis.hget(ROLLOUT_KEYS.rollout(id), 'body');
    const { state, endedAt } = JSON.parse(body ?? '{}') as Partial<RolloutRecord>;
    if (state !== undefined && ENDED.includes(state)) ended.push({ id, endedAt: endedAt ?? 0 });
  });
  const old = ended
    .sort((a, b) => b.endedAt - a.endedAt)
    .slice(OLD.keep)
    .filter(({ endedAt }) => at - endedAt > OLD.age);
  const gone: string[] = [];
  await forEachRollout(
    old.map(({ id }) => id),
    { told, log, message },
    async (id) => {
      // One that waits for it still asks how it ended.
      if ((await redis.sinter(ROLLOUT_KEYS.followers(id), ROLLOUT_KEYS.live)).length > 0) return;
      await forget(redis, id, published);
      gone.push(id);
    },
  );
  return gone;
}

/** All of it at once: nobody ever reads a part. */
async function forget(redis: Redis, id: string, published: readonly string[]): Promise<void> {
  const [{ setup }, nodes] = await Promise.all([
    readSetup(redis, id),
    redis.smembers(ROLLOUT_KEYS.nodes(id)),
  ]);
  const { rollout, setup: plan, wave, node, nodes: members, followers, inbox, refusers } = ROLLOUT_KEYS;
  const { of, version } = setup.target;
  await redis
    .multi()
    .unlink(
      ...[rollout(id), plan(id), members(id), followers(id), inbox(id)],
      ...setup.waves.map((_, index) => wave(id, index)),
      ...nodes.map((one) => node(id, one)),
      ...(of === 'image' && !published.includes(version) ? [refusers(version)] : []),
    )
    .srem(ROLLOUT_KEYS.all, id)
    .srem(followers(setup.after?.rollout ?? id), id)
    .exec();
}
