import type { Redis } from 'ioredis';
import { at } from '../fleet/keys.ts';

/** Hash: node id -> id of the rollout that has it and has not ended. Nobody else moves such a node. */
export const HOLDERS = at('rollouts', 'holders');

/** The rollout that has each of these nodes; nodes that none has are absent. */
export async function holdersOf(redis: Redis, nodes: readonly string[]): Promise<Map<string, string>> {
  if (nodes.length === 0) return new Map();
  const found = await redis.hmget(HOLDERS, ...nodes);
  return new Map(nodes.flatMap((node, i) => (found[i] == null ? [] : [[node, found[i]] as const])));
}
