/** A rollout that another one waits for, as it was decided: Redis alone does not say that it has ended, or who approved it. */
import type { Redis } from 'ioredis';
import { decisionsOf } from '../../fleet/decisions/decisions.ts';
import type { RolloutDecision } from '../../fleet/decisions/rollouts.ts';
import { ENDED, type RolloutRecord } from '../record.ts';
import { ifForgotten, readRollout } from './stored.ts';

/** The approvals that were decided, with the time that the record has; who gave them is what counts. */
export const dated = (
  decided: RolloutDecision | undefined,
  approvals: RolloutRecord['approvals'],
): RolloutRecord['approvals'] =>
  (decided?.approvals ?? []).map((one) => ({
    ...one,
    at: approvals.find(({ by }) => by === one.by)?.at ?? 0,
  }));

/** @returns null: there is no record of it any more */
export async function priorOf(redis: Redis, id: string): Promise<RolloutRecord | null> {
  const record = await readRollout(redis, id).catch(ifForgotten);
  const decisions = decisionsOf(redis);
  if (record === null || decisions?.rollouts.begun !== true) return record;
  if (ENDED.includes(record.state) && decisions.rollouts.of(id)?.state !== 'ended') await decisions.look();
  const decided = decisions.rollouts.of(id);
  const prior = { ...record, approvals: dated(decided, record.approvals) };
  if (decided?.state === 'ended') return { ...prior, state: decided.end ?? 'failed' };
  if (!ENDED.includes(record.state)) return prior;
  // It has not ended, whatever Redis says; of one from before there were decisions nobody knows how it ended.
  return { ...prior, state: decided === undefined ? 'failed' : 'running', before: null };
}
