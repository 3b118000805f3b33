/** Number of the last step by which any rollout took nodes down: two of them never do so on the same look. */
import type { Redis } from 'ioredis';
import type { Change, Committed } from '../../fleet/commit.ts';
import { commitDecided } from '../../fleet/decisions/decisions.ts';
import type { Decision } from '../../fleet/decisions/standing.ts';
import type { Step } from '../event.ts';
import { ROLLOUT_KEYS } from './keys.ts';

/** Steps of other rollouts that may come between, until a step that does not depend on them is planned anew. */
const ROUNDS = 20;

/** Of two rollouts that take nodes down at the same time one does, and the other looks again. */
export async function commitFenced(
  redis: Redis,
  fence: Step['fence'],
  change: Change,
  decided: readonly Decision[],
): Promise<Committed> {
  if (fence === null) return commitDecided(redis, change, decided);
  const at = (epoch: number) => ({ state: 'fence', epoch });
  for (let round = 1; ; round += 1) {
    const seen = fence === 'unseen' ? await readFence(redis) : fence;
    const raised = {
      key: ROLLOUT_KEYS.fence,
      expect: seen === 0 ? null : at(seen),
      next: { ...at(seen + 1), body: '' },
    };
    const done = await commitDecided(redis, { ...change, records: [...change.records, raised] }, decided);
    const isFenced = done.result === 'conflict' && done.key === ROLLOUT_KEYS.fence;
    if (fence !== 'unseen' || !isFenced || round === ROUNDS) return done;
  }
}

/** 0: none has. */
export async function readFence(redis: Redis): Promise<number> {
  return Number((await redis.hget(ROLLOUT_KEYS.fence, 'epoch')) ?? 0);
}
