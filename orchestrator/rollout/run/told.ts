/**
 * The log of the server that carries rollouts out says what becomes of each: one line for each change of a rollout's own
 * state. Nodes and waves are in the audit alone: there are thousands.
 */
import type { Redis } from 'ioredis';
import type { Logger } from '../../../base/log.ts';
import type { Note } from '../event.ts';

/** Characters of a reason, which may quote a node. */
const REASON = 300;

const logs = new WeakMap<Redis, Logger>();

/** From now on, what is written by this connection is told in this log. */
export const tellRollouts = (redis: Redis, log: Logger): void => void logs.set(redis, log);

/** @param notes of a step that was written */
export function toldOf(redis: Redis, notes: readonly Note[]): void {
  for (const { what, id, from, to, why, by } of notes)
    if (what === 'rollout' && from !== to)
      logs
        .get(redis)
        ?.info(
          { code: 'ROLLOUT', rollout: id, from, to, by, reason: why.slice(0, REASON) },
          'a rollout moved on',
        );
}
