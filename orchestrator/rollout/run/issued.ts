import type { Redis } from 'ioredis';
import { BootwaveError } from '../../../base/error.ts';
import { ORDER_FORMAT, type Order as SignedOrder } from '../../../keys/order.ts';
import { commit, type RecordChange } from '../../fleet/commit.ts';
import { lifeOf } from '../../orders/issue.ts';
import type { Order } from '../event.ts';
import { ROLLOUT_KEYS } from './keys.ts';
import type { ImageFacts } from './stored.ts';

/**
 * An order as it was issued, kept word for word: what is sent again after a crash must be the very same bytes, because
 * a node refuses two orders of one epoch.
 */
export type Issued = { order: SignedOrder; rollout: string; kind: Order['kind'] };

/** The orders in force, by node; nodes that were never ordered anything are absent. */
export async function readIssued(redis: Redis, nodes: readonly string[]): Promise<Map<string, Issued>> {
  const found = new Map<string, Issued>();
  if (nodes.length === 0) return found;
  const pipeline = redis.pipeline();
  for (const node of nodes) pipeline.hget(ROLLOUT_KEYS.order(node), 'body');
  for (const [i, [error, body]] of ((await pipeline.exec()) ?? []).entries()) {
    if (error !== null) throw error;
    if (typeof body === 'string') found.set(nodes[i] ?? '', JSON.parse(body) as Issued);
  }
  return found;
}

/** What an order has room for (keys/order.ts); the rest goes with the next one. */
const MOST_FORGIVEN = 64;

export type Issue =
  /** To be written with the step. */
  | { result: 'new'; change: RecordChange }
  /** It was issued before; it is only to be delivered again. */
  | { result: 'same' }
  /** Somebody used this epoch or a higher one for something else. */
  | { result: 'stale'; has: number };

/**
 * @param now milliseconds since the epoch
 * @param forgiven versions that the node refuses and may try again
 * @throws BootwaveError `ROLLOUT_IMAGE_FACTS` when the rollout does not know the image or configuration
 */
export function issue(
  order: Order,
  inForce: Issued | undefined,
  images: ImageFacts,
  now: number,
  forgiven: readonly string[] = [],
): Issue {
  if (inForce !== undefined && inForce.order.epoch >= order.epoch) {
    const isSame =
      inForce.order.epoch === order.epoch && inForce.rollout === order.rollout && inForce.kind === order.kind;
    return isSame ? { result: 'same' } : { result: 'stale', has: inForce.order.epoch };
  }
  const body: Issued = {
    rollout: order.rollout,
    kind: order.kind,
    order: {
      format: ORDER_FORMAT,
      node: order.node,
      epoch: order.epoch,
      issuedAt: now,
      expires: now + lifeOf({ node: order.node, wipe: false }),
      mode: order.how === 'network' ? 'netboot' : 'installed',
      ...moved(order, inForce, images),
      services: [],
      wipe: false,
      forgiven: forgiven.slice(0, MOST_FORGIVEN),
    },
  };
  return { result: 'new', change: issuedChange(inForce, body) };
}

/** Puts an order in the place of the one in force, unless somebody else was faster. */
export function issuedChange(inForce: Issued | undefined, next: Issued): RecordChange {
  const { node, epoch } = next.order;
  return {
    key: ROLLOUT_KEYS.order(node),
    expect: inForce === undefined ? null : { state: 'issued', epoch: inForce.order.epoch },
    next: { state: 'issued', epoch, body: JSON.stringify(next) },
  };
}

/** Puts the number of a node's order back to one that was signed: what stands above it nobody ever signed or saw. */
export async function rewind(redis: Redis, node: string, epoch: number): Promise<void> {
  const inForce = (await readIssued(redis, [node])).get(node);
  if (inForce === undefined || inForce.order.epoch <= epoch) return;
  const order = { ...inForce.order, epoch };
  // Of nobody: the next order is a new one, whoever issues it.
  const next = { ...inForce, rollout: 'rewound', order };
  // When somebody else is faster, it is asked again.
  await commit(redis, { records: [issuedChange(inForce, next)] });
}

/** An order says all that a node is to be: what this rollout does not move stays as the order in force has it. */
function moved(
  { of, version }: Order,
  inForce: Issued | undefined,
  images: ImageFacts,
): Pick<SignedOrder, 'image' | 'config'> {
  const facts = version === null ? null : factsOf(version, images);
  if (of === 'config') return { image: inForce?.order.image ?? null, config: facts?.sha256 ?? null };
  return {
    image: version === null || facts === null ? null : { version, ...facts },
    config: inForce?.order.config ?? null,
  };
}

function factsOf(version: string, images: ImageFacts): ImageFacts[string] {
  const facts = images[version];
  if (facts !== undefined) return facts;
  throw new BootwaveError({
    code: 'ROLLOUT_IMAGE_FACTS',
    what: `the rollout does not know the digest of ${version}`,
    unchanged: 'nothing was ordered',
    next: 'abort it and plan it again while that version is published',
  });
}
