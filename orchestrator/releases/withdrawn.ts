/**
 * Images that new hardware is not given, although they are published: a rollout has rolled them back, or a node has
 * failed on them. Written with the rollout's own step, so that no machine that boots at that moment gets one. A rollout
 * that brings the version to all of its nodes ends the withdrawal; so can a person.
 */
import type { Redis } from 'ioredis';
import { refusal } from '../../base/error.ts';
import type { By } from '../fleet/acting.ts';
import { auditLine } from '../fleet/audit/audit.ts';
import { type AuditLine, commit, type Op } from '../fleet/commit.ts';
import { at } from '../fleet/keys.ts';

/** Hash: image version -> why new hardware is not given it. */
export const WITHDRAWN = at('images', 'withdrawn');

/** Characters of a reason that are kept; it may be a node's own. */
const REASON = 512;

/** Why it is withdrawn; null: it is not. */
export function withdrawnWhy(redis: Redis, version: string): Promise<string | null> {
  return redis.hget(WITHDRAWN, version);
}

/** Why each of them is withdrawn, by version. */
export async function readWithdrawn(redis: Redis): Promise<Readonly<Record<string, string>>> {
  return redis.hgetall(WITHDRAWN);
}

/** @returns false when it is withdrawn already; the first reason stays */
export async function withdraw(redis: Redis, version: string, why: string, by: By): Promise<boolean> {
  if ((await redis.hexists(WITHDRAWN, version)) === 1) return false;
  const change = withdrawal(version, why, by);
  await commit(redis, { records: [], ops: [change.op], audit: [change.audit] });
  return true;
}

/** @returns why it is. @throws BootwaveError `IMAGE_NOT_WITHDRAWN` */
export async function mustBeWithdrawn(redis: Redis, version: string): Promise<string> {
  const why = await withdrawnWhy(redis, version);
  if (why !== null) return why;
  throw refusal(
    'IMAGE_NOT_WITHDRAWN',
    `image ${version} is not withdrawn`,
    `'bootwave image withdrawn' shows those that are`,
  );
}

/** @throws BootwaveError `IMAGE_NOT_WITHDRAWN` */
export async function reinstate(redis: Redis, version: string, by: By): Promise<string> {
  const why = await mustBeWithdrawn(redis, version);
  const change = reinstatement(version, why, by);
  await commit(redis, { records: [], ops: [change.op], audit: [change.audit] });
  return why;
}

export function withdrawal(version: string, why: string, by: By): { op: Op; audit: AuditLine } {
  // No half characters: the script that writes it could not read them.
  const reason = why.slice(0, REASON).toWellFormed();
  return {
    op: { op: 'offer', key: WITHDRAWN, field: version, owner: reason },
    audit: auditLine({ ...by, action: 'withdraw', reason: `image ${version}: ${reason}` }),
  };
}

export function reinstatement(version: string, was: string, by: By): { op: Op; audit: AuditLine } {
  return {
    op: { op: 'release', key: WITHDRAWN, field: version, owner: was },
    audit: auditLine({
      ...by,
      action: 'reinstate',
      reason: `image ${version} is given to new hardware again`,
    }),
  };
}
