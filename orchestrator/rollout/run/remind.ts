/**
 * A node without a disk that has restarted into the image of a rollout has no order, so none of its services either; a gate
 * may ask for them. It is given the order in force again, word for word. Configurations come when the rollout lets it go.
 */
import type { Redis } from 'ioredis';
import type { Status } from '../../../protocol/link/messages.ts';
import { deliverOrder } from '../../orders/deliver.ts';
import { readIssued } from '../../orders/issued.ts';
import { signKept } from '../../orders/kept.ts';
import type { OrderSigner } from '../../orders/order-signer.ts';
import type { LinkPool } from '../../transport/pool.ts';
import type { NodeStep, StepState } from '../node-step.ts';
import type { RolloutSetup } from '../record.ts';

/** States in which the rollout orders it nothing. */
const AFTER: readonly StepState[] = ['booted', 'attested', 'baking', 'done'];

export function hasForgotten(
  { target }: Pick<RolloutSetup, 'target'>,
  { state, how }: Pick<NodeStep, 'state' | 'how'>,
  { order, services }: Pick<Status, 'order' | 'services'>,
): boolean {
  return (
    target.of === 'image' &&
    how === 'network' &&
    AFTER.includes(state) &&
    order === null &&
    services !== undefined
  );
}

/** @returns whether there was something to say @throws BootwaveError as `signKept` and `deliverOrder` */
export async function remind(
  { redis, pool, signer }: { redis: Redis; pool: Pick<LinkPool, 'request'>; signer: OrderSigner },
  node: string,
  options: Parameters<typeof deliverOrder>[3],
): Promise<boolean> {
  const inForce = (await readIssued(redis, [node])).get(node);
  if (inForce === undefined || inForce.order.services.length === 0) return false;
  await deliverOrder(pool, node, await signKept(redis, signer, inForce.order), options);
  return true;
}
