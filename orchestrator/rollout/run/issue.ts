import { BootwaveError } from '../../../base/error.ts';
import { ORDER_FORMAT, type Order } from '../../../protocol/order.ts';
import type { RecordChange } from '../../fleet/commit.ts';
import { lifeOf } from '../../orders/issue.ts';
import { type Issued, issuedChange } from '../../orders/issued.ts';
import type { ImageFacts } from '../../releases/published.ts';
import type { NodeCommand } from '../event.ts';
import { textOf, wishesIn } from '../services.ts';

/** How many an order can hold (protocol/order.ts); the rest goes with the next one. */
const MOST_FORGIVEN = 64;

export type Issue =
  /** Must be written with the step. */
  | { result: 'new'; change: RecordChange }
  /** It was issued before; it is only to be delivered again. */
  | { result: 'same' }
  /** Another process used this epoch or a higher one for something else. */
  | { result: 'stale'; has: number };

/**
 * @param now milliseconds since the epoch
 * @param forgiven versions that the node refuses and may try again
 * @throws BootwaveError `ROLLOUT_IMAGE_FACTS` when the rollout does not know the image, configuration or service
 */
export function issue(
  command: NodeCommand,
  inForce: Issued | undefined,
  images: ImageFacts,
  now: number,
  forgiven: readonly string[] = [],
): Issue {
  if (inForce !== undefined && inForce.order.epoch >= command.epoch) {
    const isSame =
      inForce.order.epoch === command.epoch &&
      inForce.rollout === command.rollout &&
      inForce.kind === command.kind;
    return isSame ? { result: 'same' } : { result: 'stale', has: inForce.order.epoch };
  }
  const body: Issued = {
    rollout: command.rollout,
    kind: command.kind,
    order: {
      format: ORDER_FORMAT,
      node: command.node,
      epoch: command.epoch,
      issuedAt: now,
      expires: now + lifeOf({ node: command.node, wipe: false }),
      mode: command.how === 'network' ? 'netboot' : 'installed',
      ...moved(command, inForce, images),
      wipe: false,
      forgiven: forgiven.slice(0, MOST_FORGIVEN),
    },
  };
  return { result: 'new', change: issuedChange(inForce, body) };
}

/**
 * An order states everything that a node has to be: what this rollout does not change is copied from the order in
 * force.
 */
function moved(
  { of, version }: NodeCommand,
  inForce: Issued | undefined,
  images: ImageFacts,
): Pick<Order, 'image' | 'config' | 'services'> {
  const { image = null, config = null, services = [] } = inForce?.order ?? {};
  if (of === 'service') return { image, config, services: servicesAt(version ?? '', services, images) };
  const facts = version === null ? null : factsOf(version, images);
  if (of === 'config') return { image, config: facts?.sha256 ?? null, services };
  return { image: version === null || facts === null ? null : { version, ...facts }, config, services };
}

/** All that were ordered, with what this rollout says of its own; in an order that does not depend on how it came about. */
function servicesAt(text: string, ordered: Order['services'], images: ImageFacts): Order['services'] {
  const own = wishesIn(text);
  const kept = ordered.filter(({ name }) => !own.some((wish) => wish.name === name));
  const brought = own.flatMap((wish) => {
    const { name, version } = wish;
    return version === null ? [] : [{ name, version, ...factsOf(textOf([wish]), images) }];
  });
  return [...kept, ...brought].sort((a, b) => (a.name < b.name ? -1 : 1));
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
