import type { Redis } from 'ioredis';
import type { Order } from '../../protocol/order.ts';
import { commit, type RecordChange } from '../fleet/commit.ts';
import { at } from '../fleet/keys.ts';
import { bodiesOf } from '../redis/bodies.ts';

/**
 * An order as it was issued, kept byte for byte: what is sent again after a crash must be the same bytes, because a
 * node refuses two orders of one epoch.
 */
export type Issued = {
  order: Order;
  /** Id of the rollout, or who else issued it. */
  rollout: string;
  kind: 'stage' | 'activate' | 'rollback';
};

/** The last order that was issued to a node, by whomever. */
export const orderKey = (node: string): string => at('order', node);

/** The orders in force, by node; nodes that were never ordered anything are absent. */
export async function readIssued(redis: Redis, nodes: readonly string[]): Promise<Map<string, Issued>> {
  const bodies = await bodiesOf(redis, nodes.map(orderKey));
  return new Map(
    bodies.flatMap((body, i) =>
      body === null ? [] : [[nodes[i] ?? '', JSON.parse(body) as Issued] as const],
    ),
  );
}

/** Replaces the order in force, unless another process was faster. */
export function issuedChange(inForce: Issued | undefined, next: Issued): RecordChange {
  const { node, epoch } = next.order;
  return {
    key: orderKey(node),
    expect: inForce === undefined ? null : { state: 'issued', epoch: inForce.order.epoch },
    next: { state: 'issued', epoch, body: JSON.stringify(next) },
  };
}

/** Sets the number of a node's order back to one that was signed: nobody ever signed or saw a higher one. */
export async function rewind(redis: Redis, node: string, epoch: number): Promise<void> {
  const inForce = (await readIssued(redis, [node])).get(node);
  if (inForce === undefined || inForce.order.epoch <= epoch) return;
  const order = { ...inForce.order, epoch };
  // No rollout has it: the next order is a new one, whoever issues it.
  const next = { ...inForce, rollout: 'rewound', order };
  // If another process was faster, it is asked again.
  await commit(redis, { records: [issuedChange(inForce, next)] });
}
