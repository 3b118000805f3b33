/** The last word of each node, in Redis until it is too old to be said of the node of today. */
import type { Redis } from 'ioredis';
import { jsonIn } from '../../base/json.ts';
import type { Usage } from '../../protocol/link/usage.ts';
import { at } from '../fleet/keys.ts';
import { readIssued } from '../orders/issued.ts';
import { recordOf, type UsageRecord, usageRecordSchema } from './record.ts';

const usageKey = (node: string): string => at('usage', node);

/** Milliseconds that a word is kept: what a node used before is not what it uses. */
export const LIFE = 15 * 60_000;
/** Keys in one round trip. */
const PAGE = 500;

/** By node; those of which nothing is known are absent. */
export async function readUsages(redis: Redis, nodes: readonly string[]): Promise<Map<string, UsageRecord>> {
  const found = new Map<string, UsageRecord>();
  for (let i = 0; i < nodes.length; i += PAGE) {
    const page = nodes.slice(i, i + PAGE);
    for (const [n, text] of (await redis.mget(...page.map(usageKey))).entries()) {
      if (text === null) continue;
      // Of another version of this code, it is as good as none.
      const { data } = usageRecordSchema.safeParse(jsonIn(text));
      if (data !== undefined) found.set(page[n]!, data);
    }
  }
  return found;
}

/** @param told what each node said, with the server's time; of one that said too little since, the former word stays */
export async function storeUsages(
  redis: Redis,
  told: ReadonlyMap<string, { usage: Usage; heard: number }>,
): Promise<void> {
  if (told.size === 0) return;
  const nodes = [...told.keys()];
  const [before, orders] = await Promise.all([readUsages(redis, nodes), readIssued(redis, nodes)]);
  const pipeline = redis.pipeline();
  for (const [node, { usage, heard }] of told) {
    const ordered = new Set((orders.get(node)?.order.services ?? []).map(({ name }) => name));
    const record = recordOf(usage, ordered, heard, before.get(node) ?? null);
    pipeline.set(usageKey(node), JSON.stringify(record), 'PX', LIFE);
  }
  for (const [error] of (await pipeline.exec()) ?? []) if (error !== null) throw error;
}
