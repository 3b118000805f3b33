import type { Redis } from 'ioredis';
import type { AuditLine, Op } from '../../fleet/commit.ts';
import { reinstatement, withdrawal, withdrawnWhy } from '../../releases/withdrawn.ts';
import type { Step } from '../event.ts';
import type { RolloutRecord } from '../record.ts';
import type { RolloutState } from '../state.ts';

/** What a step of a rollout decides about its image, written with the step. */
export async function verdictOf(
  redis: Redis,
  { setup, rollout: before }: RolloutState,
  { rollout: after }: Pick<Step, 'rollout'>,
  at: number,
): Promise<{ op: Op; audit: AuditLine } | null> {
  const { of, version } = setup.target;
  // One whose turn came when nothing was left to do has proved nothing.
  if (of !== 'image' || before.state === 'waiting') return null;
  const by = { actor: 'rollout', at };
  if (isTakenBack(after) && !isTakenBack(before)) {
    return withdrawal(version, `taken back by ${setup.id}: ${after.spent ?? after.why}`, by);
  }
  if (after.state !== 'done' || before.state === 'done') return null;
  const why = await withdrawnWhy(redis, version);
  return why === null ? null : reinstatement(version, why, by);
}

const isTakenBack = ({ state, spent }: RolloutRecord) => spent !== null || state === 'rolling-back';
