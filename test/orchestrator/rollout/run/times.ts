import type { RolloutTimes } from '../../../../orchestrator/rollout/run/start.ts';

/** Fast enough for a test, slow enough for two cores that others use too. */
export const TIMES: RolloutTimes = {
  tick: 250,
  sweep: 250,
  retire: 500,
  slices: 500,
  watch: { active: 250, fleet: 1_000 },
};
export const POOL = { rate: 1_000, burst: 100, first: 50, most: 500, connectTimeout: 10_000 };
