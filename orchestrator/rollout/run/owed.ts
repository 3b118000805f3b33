/** What a job asks for: it names an order, and what that is stands in the records alone. */
import type { Redis } from 'ioredis';
import type { Order } from '../event.ts';
import { orderFor } from '../order.ts';
import type { NodeStep, RolloutSetup } from '../record.ts';
import { ROLLOUT_KEYS } from './keys.ts';
import { readSetup } from './stored.ts';

/** Jobs hold the whole order, for servers of the version before; no more than this is read. */
export type AskedOrder = Pick<Order, 'rollout' | 'node' | 'epoch' | 'kind'>;

/** Rollouts of which is remembered what they move. */
const MOST = 1_000;

/** @returns null: no record asks for it any more, or ever did */
export function owedOrders(redis: Redis): (asked: AskedOrder) => Promise<Order | null> {
  const targets = new Map<string, RolloutSetup['target']>();
  const targetOf = async (id: string) => {
    const known = targets.get(id);
    if (known !== undefined) return known;
    // It never moves anything else.
    const { target } = (await readSetup(redis, id)).setup;
    if (targets.size >= MOST) targets.clear();
    targets.set(id, target);
    return target;
  };
  return async ({ rollout, node, epoch, kind }) => {
    const body = await redis.hget(ROLLOUT_KEYS.node(rollout, node), 'body');
    if (body === null) return null;
    const step = JSON.parse(body) as NodeStep;
    const order = orderFor({ id: rollout, target: await targetOf(rollout) }, step);
    return order?.node === node && order.epoch === epoch && order.kind === kind ? order : null;
  };
}
