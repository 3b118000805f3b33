/**
 * Images that new hardware is not given, although they are published: a rollout has taken them back, or a node has
 * failed on them. Written with the rollout's own step, so that no machine that boots in that moment gets one. A rollout
 * that brings the version to all of its nodes takes the word back; so does a person.
 */
import type { Redis } from 'ioredis';
import { BootwaveError } from '../../../base/error.ts';
import { auditLine } from '../../fleet/audit.ts';
import { type AuditLine, commit, type Op } from '../../fleet/commit.ts';
import type { By } from '../../fleet/fleet.ts';
import type { Step } from '../event.ts';
import type { RolloutRecord } from '../record.ts';
import type { RolloutState } from '../state.ts';
import { ROLLOUT_KEYS } from './keys.ts';

/** Characters of a reason that are kept; it may be a node's own. */
const REASON = 512;

/** Why each of them is withdrawn, by version. */
export async function readWithdrawn(redis: Redis): Promise<Readonly<Record<string, string>>> {
  return redis.hgetall(ROLLOUT_KEYS.withdrawn);
}

/** @returns false when it is withdrawn already; the first reason stays */
export async function withdraw(redis: Redis, version: string, why: string, by: By): Promise<boolean> {
  if ((await redis.hexists(ROLLOUT_KEYS.withdrawn, version)) === 1) return false;
  const change = withdrawal(version, why, by);
  await commit(redis, { records: [], ops: [change.op], audit: [change.audit] });
  return true;
}

/** @returns why it is. @throws BootwaveError `IMAGE_NOT_WITHDRAWN` */
export async function mustBeWithdrawn(redis: Redis, version: string): Promise<string> {
  const why = await redis.hget(ROLLOUT_KEYS.withdrawn, version);
  if (why !== null) return why;
  throw new BootwaveError({
    code: 'IMAGE_NOT_WITHDRAWN',
    what: `image ${version} is not withdrawn`,
    unchanged: 'nothing was changed',
    next: `'bootwave image withdrawn' shows those that are`,
  });
}

/** @throws BootwaveError `IMAGE_NOT_WITHDRAWN` */
export async function reinstate(redis: Redis, version: string, by: By): Promise<string> {
  const why = await mustBeWithdrawn(redis, version);
  const change = reinstatement(version, why, by);
  await commit(redis, { records: [], ops: [change.op], audit: [change.audit] });
  return why;
}

/** What a step of a rollout says of its image, to be written with it. */
export async function verdictOf(
  redis: Redis,
  { setup, rollout: before }: RolloutState,
  { rollout: after }: Pick<Step, 'rollout'>,
  at: number,
): Promise<{ op: Op; audit: AuditLine } | null> {
  const { of, version } = setup.target;
  if (of !== 'image') return null;
  const by = { actor: 'rollout', at };
  if (isTakenBack(after) && !isTakenBack(before)) {
    return withdrawal(version, `taken back by ${setup.id}: ${after.spent ?? after.why}`, by);
  }
  if (after.state !== 'done' || before.state === 'done') return null;
  const why = await redis.hget(ROLLOUT_KEYS.withdrawn, version);
  return why === null ? null : reinstatement(version, why, by);
}

const isTakenBack = ({ state, spent }: RolloutRecord) => spent !== null || state === 'rolling-back';

function withdrawal(version: string, why: string, by: By): { op: Op; audit: AuditLine } {
  // No half characters: the script that writes it could not read them.
  const reason = why.slice(0, REASON).toWellFormed();
  return {
    op: { op: 'offer', key: ROLLOUT_KEYS.withdrawn, field: version, owner: reason },
    audit: auditLine({ ...by, action: 'withdraw', reason: `image ${version}: ${reason}` }),
  };
}

function reinstatement(version: string, was: string, by: By): { op: Op; audit: AuditLine } {
  return {
    op: { op: 'release', key: ROLLOUT_KEYS.withdrawn, field: version, owner: was },
    audit: auditLine({
      ...by,
      action: 'reinstate',
      reason: `image ${version} is given to new hardware again`,
    }),
  };
}
