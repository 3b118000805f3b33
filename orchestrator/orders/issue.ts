import { BootwaveError } from '../../base/error.ts';
import { ORDER_FORMAT, type Order } from '../../protocol/order.ts';

/** What the fleet wants of a node, without the fields that make it an order. */
export type Wanted = Pick<
  Order,
  'mode' | 'image' | 'services' | 'config' | 'wipe' | 'forgiven' | 'incident'
> & {
  /** Any: the node was asked, and knows them. What they are its signer reads of the decisions. */
  reservations?: Order['reservations'];
};

const DAY = 24 * 3600_000;

/**
 * Milliseconds that an order is valid; a node that was unreachable for longer gets a new one. It is the window in which
 * a captured order can be replayed to a node that forgot its epoch: a node without a TPM forgets with its disk, so its
 * orders are shorter, and no order that destroys data exists for long.
 */
export const ORDER_LIVES = { tpm: 30 * DAY, other: 7 * DAY, wipe: DAY } as const;

export function lifeOf({ node, wipe }: Pick<Order, 'node' | 'wipe'>): number {
  if (wipe) return ORDER_LIVES.wipe;
  return node.startsWith('tpm-') ? ORDER_LIVES.tpm : ORDER_LIVES.other;
}

/**
 * Part of an order's validity after which the same content is issued again, so that no node ever holds an expired one.
 */
const RENEW_AT = 2 / 3;

/**
 * The order for what is wanted now: the one in force while it says the same and is fresh, else the next one. Pure; the
 * caller records it by compare-and-set on the epoch before anyone signs or sends it, so that no epoch is ever used for
 * two contents.
 *
 * An order to wipe is never repeated by itself, neither when it grows old nor when the node is ahead of the record
 * (which then has lost writes, perhaps the one that cancelled the wipe): a new epoch would wipe the disk again. That of an
 * incident is: as long as the machine is held, nothing is on its disk that anybody may keep.
 * @param floor the highest epoch that the node or the signer knows; after a failover that lost writes it is ahead
 * @param asked when a person last asked for the wipe, milliseconds since the epoch: after the order in force, it is not
 * repeated by itself
 * @throws BootwaveError `ORDER_WIPE_STALE` where that would happen
 */
export function nextOrder(
  node: string,
  wanted: Wanted,
  inForce: Order | null,
  now: number,
  floor = 0,
  asked: number | null = null,
): { order: Order; isNew: boolean } {
  if (inForce !== null && says(inForce, wanted)) {
    if (inForce.epoch >= floor && isFresh(inForce, now)) return { order: inForce, isNew: false };
    if (inForce.wipe && inForce.incident === undefined && (asked ?? 0) <= inForce.issuedAt)
      throw staleWipe(inForce);
  }
  const order: Order = {
    format: ORDER_FORMAT,
    node,
    epoch: Math.max(inForce?.epoch ?? 0, floor) + 1,
    issuedAt: now,
    expires: now + lifeOf({ node, wipe: wanted.wipe }),
    mode: wanted.mode,
    image: wanted.image === null ? null : { ...wanted.image },
    services: wanted.services.map((service) => ({ ...service })),
    config: wanted.config,
    wipe: wanted.wipe,
    forgiven: [...wanted.forgiven],
    ...(wanted.reservations && { reservations: wanted.reservations.map((one) => ({ ...one })) }),
    ...(wanted.incident && { incident: { ...wanted.incident, installed: [...wanted.incident.installed] } }),
  };
  return { order, isNew: true };
}

function says(order: Order, wanted: Wanted): boolean {
  return (
    order.mode === wanted.mode &&
    order.config === wanted.config &&
    order.wipe === wanted.wipe &&
    sameImage(order.image, wanted.image) &&
    sameServices(order.services, wanted.services) &&
    JSON.stringify(order.incident) === JSON.stringify(wanted.incident) &&
    order.forgiven.length === wanted.forgiven.length &&
    order.forgiven.every((version, i) => version === wanted.forgiven[i])
  );
}

function sameImage(a: Order['image'], b: Order['image']): boolean {
  if (a === null || b === null) return a === b;
  return a.version === b.version && a.sha256 === b.sha256 && a.size === b.size;
}

function sameServices(a: Order['services'], b: Order['services']): boolean {
  return (
    a.length === b.length && a.every((one, i) => one.name === b[i]?.name && sameImage(one, b[i] ?? null))
  );
}

/** Not yet to be renewed. A clock that went back does not make an order stale; one that jumped ahead only causes a new issue. */
export function isFresh(order: Pick<Order, 'issuedAt' | 'expires'>, now: number): boolean {
  return now < order.issuedAt + (order.expires - order.issuedAt) * RENEW_AT;
}

function staleWipe(order: Order): BootwaveError {
  return new BootwaveError({
    code: 'ORDER_WIPE_STALE',
    what: `the order to wipe ${order.node} (epoch ${order.epoch}) is too old to be repeated by itself`,
    unchanged: 'nothing was ordered',
    next: `look whether the disk was wiped already; 'bootwave node set NODE --mode installed --wipe' asks for it again`,
  });
}
