import type { Redis } from 'ioredis';
import { z } from 'zod';
import type { Op } from '../fleet/commit.ts';
import { at } from '../fleet/keys.ts';
import { readStored } from '../fleet/read-stored.ts';

/** Hash: node id -> id of the rollout that has it and has not ended. Nobody else moves such a node. */
export const HOLDERS = at('rollouts', 'holders');

/** The rollout that has each of these nodes; nodes that none has are absent. */
export async function holdersOf(redis: Redis, nodes: readonly string[]): Promise<Map<string, string>> {
  if (nodes.length === 0) return new Map();
  const found = await redis.hmget(HOLDERS, ...nodes);
  return new Map(nodes.flatMap((node, i) => (found[i] == null ? [] : [[node, found[i]] as const])));
}

/** The record of a node in a rollout. */
export const stepKey = (rollout: string, node: string): string => at('rollout', rollout, 'node', node);

/** Of such a record. `touch` 0: the rollout has ordered it nothing yet. */
const stepSchema = z.object({ state: z.string(), touch: z.number() });

/**
 * Those of the nodes that no rollout moves now: none has them, or they wait there for their first turn, perhaps for days.
 * @returns by node, what has to be so still in the same write as anything that is issued for it
 */
export async function unmoved(redis: Redis, nodes: readonly string[]): Promise<Map<string, Op[]>> {
  const holders = await holdersOf(redis, nodes);
  const held = [...holders].map(([node, rollout]) => ({ node, key: stepKey(rollout, node) }));
  const read = redis.pipeline();
  for (const { key } of held) read.hmget(key, 'body', 'epoch');
  const found = (held.length === 0 ? [] : await read.exec()) ?? [];
  const free = new Map<string, Op[]>(nodes.flatMap((node) => (holders.has(node) ? [] : [[node, []]])));
  for (const [i, { node, key }] of held.entries()) {
    const [error, fields] = found[i] ?? [];
    if (error) throw error;
    const [body = null, epoch = null] = (fields ?? []) as (string | null)[];
    const step = body === null ? null : readStored(stepSchema, body);
    if (step?.state === 'pending' && step.touch === 0)
      free.set(node, [{ op: 'is', key, state: step.state, epoch: Number(epoch) }]);
  }
  return free;
}
