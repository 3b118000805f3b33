/**
 * A node refuses a version on which it failed. A person may decide that it was not the version's fault, or is fixed.
 */
import type { Redis } from 'ioredis';
import { refusal } from '../../../base/error.ts';
import type { By } from '../../fleet/acting.ts';
import { auditLine } from '../../fleet/audit/audit.ts';
import { commit } from '../../fleet/commit.ts';
import type { NodeRecord } from '../../fleet/record.ts';
import { ROLLOUT_KEYS } from './keys.ts';

const memberOf = (node: string, version: string) => `${node} ${version}`;

/**
 * Plans count on the node again; its next order informs it.
 * @returns why it refuses the version
 * @throws BootwaveError `ROLLOUT_NOT_REFUSED`
 */
export async function forgive(redis: Redis, node: NodeRecord, version: string, by: By): Promise<string> {
  const why = await redis.hget(ROLLOUT_KEYS.refusers(version), node.id);
  if (why === null) {
    throw refusal(
      'ROLLOUT_NOT_REFUSED',
      `node ${node.name} is not known to refuse ${version}`,
      `'bootwave rollout plan' names the nodes that failed on a version`,
    );
  }
  const member = memberOf(node.id, version);
  if ((await redis.sismember(ROLLOUT_KEYS.pardons, member)) === 1) return why;
  await commit(redis, {
    records: [],
    ops: [{ op: 'join', key: ROLLOUT_KEYS.pardons, value: member }],
    audit: [
      auditLine({
        ...by,
        node: node.id,
        action: 'forgive',
        reason: `${version} may be tried again; it had failed: ${why}`,
      }),
    ],
  });
  return why;
}

/** Versions that were forgiven, for nodes that have not been informed, by node. */
export async function readPardons(redis: Redis): Promise<Map<string, string[]>> {
  const pardons = new Map<string, string[]>();
  for (const member of (await redis.smembers(ROLLOUT_KEYS.pardons)).sort()) {
    const [node = '', version = ''] = member.split(' ');
    pardons.set(node, [...(pardons.get(node) ?? []), version]);
  }
  return pardons;
}

/** The node reports that it does not refuse it any more. */
export async function pardoned(
  redis: Redis,
  node: string,
  versions: readonly string[],
  at: number,
): Promise<void> {
  for (const version of versions) {
    const key = ROLLOUT_KEYS.refusers(version);
    const why = await redis.hget(key, node);
    const reason = `the node was told that ${version} may be tried again`;
    await commit(redis, {
      records: [],
      ops: [
        { op: 'leave', key: ROLLOUT_KEYS.pardons, value: memberOf(node, version) },
        ...(why === null ? [] : [{ op: 'release', key, field: node, owner: why } as const]),
      ],
      audit: [auditLine({ at, actor: 'rollout', node, action: 'forgive', reason })],
    });
  }
}
