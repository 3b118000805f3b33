/** The configuration and the services of a node in orders that change something else of it. */
import type { Redis } from 'ioredis';
import { BootwaveError } from '../../base/error.ts';
import type { Order, OrderedService } from '../../protocol/order.ts';
import type { OrderEnvelope } from '../../protocol/order-envelope.ts';
import { commit } from '../fleet/commit.ts';
import { decisionsOf } from '../fleet/decisions/decisions.ts';
import { type Issued, issuedChange, readIssued } from './issued.ts';
import type { OrderSigner, Standing } from './order-signer.ts';
import { sign, standingOf } from './sign.ts';

/** What the signers know counts, unless an order was issued since: it may be on its way to be signed. */
export function keptOf(
  inForce: Issued | undefined,
  { epoch, config, services }: Standing,
): Pick<Order, 'config' | 'services'> {
  const order = inForce?.order;
  const isNewer = (order?.epoch ?? 0) > epoch;
  return {
    config: config === undefined || isNewer ? (order?.config ?? null) : config,
    services: services === undefined || isNewer ? (order?.services ?? []) : [...services],
  };
}

/** What an order changes; all else it keeps. */
export type Changes = { config?: boolean /** Their full names. */; services?: readonly string[] };

/**
 * As `sign`, for an order that keeps what it does not change. Where Redis has another configuration or other services than
 * were signed for the node last, restored or forged ones, its record of the order is put right: the next order keeps what
 * was decided.
 * @throws BootwaveError as `sign`; `ORDER_PUT_RIGHT`
 */
export async function signKept(
  redis: Redis,
  signer: OrderSigner,
  order: Order,
  changes: Changes = {},
): Promise<OrderEnvelope> {
  return sign(redis, signer, order).catch(async (error: unknown) => {
    const what = error instanceof BootwaveError ? KEPT[error.code] : undefined;
    if (what === undefined || !(await putRight(redis, signer, order, changes))) throw error;
    throw new BootwaveError({
      code: 'ORDER_PUT_RIGHT',
      what: `Redis had ${what} for ${order.node} than was decided, and its order names what was decided now`,
      unchanged: 'nothing was sent',
      next: 'it is tried again by itself',
      cause: error,
    });
  });
}

const KEPT: Readonly<Record<string, string>> = {
  SIGNER_CONFIG_UNDECIDED: 'another configuration',
  SIGNER_SERVICE_UNDECIDED: 'other services',
};

async function putRight(redis: Redis, signer: OrderSigner, { node, epoch }: Order, changes: Changes) {
  const [standing, inForce] = await Promise.all([
    standingOf(redis, signer, node),
    readIssued(redis, [node]).then((found) => found.get(node)),
  ]);
  const issued = inForce?.order;
  if (issued?.epoch !== epoch) return false;
  const signed = changes.config === true ? undefined : standing.config;
  const config = signed === undefined ? issued.config : signed;
  const services = rightServices(issued.services, standing.services, changes.services);
  const isOther = config !== issued.config;
  if (!isOther && services === null) return false;
  const what = isOther ? 'configuration' : 'services';
  decisionsOf(redis)?.disagrees(`${what} of node ${node}`);
  const order = { ...issued, config, services: services ?? issued.services };
  // No rollout has it: the next order is a new one, whoever issues it.
  const next = { kind: inForce!.kind, rollout: 'put right', order };
  // If another process was faster, it is asked again.
  await commit(redis, { records: [issuedChange(inForce, next)] });
  return true;
}

/** @returns null: they are right, or nobody knows */
function rightServices(
  issued: readonly OrderedService[],
  signed: readonly OrderedService[] | undefined,
  changed: readonly string[] = [],
): OrderedService[] | null {
  const isKept = ({ name }: OrderedService) => !changed.includes(name);
  const text = (services: readonly OrderedService[]) =>
    JSON.stringify(
      services
        .filter(isKept)
        .map(({ name, version, sha256, size }) => [name, version, sha256, size])
        .toSorted(),
    );
  if (signed === undefined || text(issued) === text(signed)) return null;
  return [...issued.filter((one) => !isKept(one)), ...signed.filter(isKept)];
}
