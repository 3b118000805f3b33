/** Orders outside of rollouts: for installations, and for nodes that lost what they had. */
import type { Redis } from 'ioredis';
import { BootwaveError } from '../../base/error.ts';
import type { Order } from '../../protocol/order.ts';
import { commit, type Op } from '../fleet/commit.ts';
import { nextOrder, type Wanted } from './issue.ts';
import { type Issued, issuedChange } from './issued.ts';

export type Reissue = {
  node: string;
  wanted: Wanted;
  inForce: Issued | undefined;
  /** Who issues it: stored in place of a rollout's id. */
  by: string;
  kind: Issued['kind'];
  /** The highest epoch that the node or the signer knows. */
  floor: number;
  /** When a person last asked for the wipe; null or left out: nobody has. */
  asked?: number | null;
  /** What has to be so in the same write. */
  while?: readonly Op[];
  /** Milliseconds since the epoch. */
  now: number;
  /** Code of the error when another process was faster. */
  race: string;
};

/**
 * The order for what is wanted now, recorded before anybody signs or sends it, so that no epoch is ever used for two
 * contents.
 * @throws BootwaveError `race`, or what `nextOrder` throws; nothing was sent then
 */
export async function reissue(redis: Redis, wish: Reissue): Promise<Order> {
  const { node, wanted, inForce, by, kind, floor, now, race } = wish;
  const { order, isNew } = nextOrder(node, wanted, inForce?.order ?? null, now, floor, wish.asked);
  if (!isNew) return order;
  const records = [issuedChange(inForce, { rollout: by, kind, order })];
  const done = await commit(redis, { records, ops: wish.while ?? [] });
  if (done.result === 'done') return order;
  throw new BootwaveError({
    code: race,
    what: `another order was issued to ${node} at the same moment`,
    unchanged: 'nothing was sent',
    next: 'it is tried again by itself',
  });
}
