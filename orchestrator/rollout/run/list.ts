import type { Redis } from 'ioredis';
import type { Target } from '../place.ts';
import type { After, RolloutStatus } from '../record.ts';
import { ROLLOUT_KEYS } from './keys.ts';
import { ifForgotten, readRollout, readSetup } from './stored.ts';

export type RolloutSummary = {
  id: string;
  name: string;
  of: Target['of'];
  version: string;
  state: RolloutStatus;
  why: string;
  author: string;
  /** Milliseconds since the epoch; `endedAt` is null while it has not ended. */
  createdAt: number;
  endedAt: number | null;
  /** What it waited for before it started; absent: nothing. */
  after?: After;
};

/** All rollouts, the newest first. */
export async function listRollouts(redis: Redis): Promise<RolloutSummary[]> {
  const ids = await redis.smembers(ROLLOUT_KEYS.all);
  const all = await Promise.all(
    ids.map(async (id): Promise<RolloutSummary | null> => {
      const found = await Promise.all([readSetup(redis, id), readRollout(redis, id)]).catch(ifForgotten);
      if (found === null) return null;
      const [{ setup }, rollout] = found;
      const { state, why, endedAt } = rollout;
      const { author, createdAt, spec, target, after } = setup;
      const { name } = spec;
      const told = {
        id,
        name,
        of: target.of,
        version: target.version,
        state,
        why,
        author,
        createdAt,
        endedAt,
      };
      return after === undefined ? told : { ...told, after };
    }),
  );
  return all
    .filter((one) => one !== null)
    .sort((a, b) => b.createdAt - a.createdAt || (a.id < b.id ? -1 : 1));
}
