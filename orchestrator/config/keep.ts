/**
 * Nodes that lost their configuration or their services: diskless ones at every restart, installed ones with their state
 * partition. A node that restarted is asked once, and gets what its order in force names. An order that names services is
 * renewed before it expires, because a node starts nothing under one that has. Rollouts take care of the nodes that they move;
 * who only waits for its turn in one is brought what it had from here.
 */
import { BootwaveError, codeOf, messageOf } from '../../base/error.ts';
import type { Status } from '../../protocol/link/messages.ts';
import type { Order, OrderedService } from '../../protocol/order.ts';
import { shownServiceVersion } from '../../protocol/service/name.ts';
import type { Fleet } from '../fleet/fleet.ts';
import type { NodeRecord } from '../fleet/record.ts';
import { deliverOrder, type OrderKeeping } from '../orders/deliver.ts';
import { knownEpoch } from '../orders/guard.ts';
import { isFresh } from '../orders/issue.ts';
import { readIssued } from '../orders/issued.ts';
import { keptOf, signKept } from '../orders/kept.ts';
import { reissue } from '../orders/reissue.ts';
import { standingOf } from '../orders/sign.ts';
import { unmoved } from '../upkeep/holders.ts';
import { keepNodes } from '../upkeep/nodes.ts';
import { CONFIG_REFUSALS, listConfigs, type PublishedConfig } from './store.ts';

/** Stored in the order record in place of a rollout's id. */
const KEEPER = 'config-keeper';
const TIMES = { look: 5_000, again: 30_000 };
/** Milliseconds after which an order is looked at again: small compared with the time in which it may be renewed. */
const SETTLED = 6 * 3600_000;
/** Nodes of one process at once. */
const AT_ONCE = 16;
/** Milliseconds of silence. */
const SILENCE = { quick: 15_000, apply: 180_000 } as const;

/** Runs until the signal aborts; of several orchestrators one at a time does the work. Never rejects. */
export function startConfigKeeper(options: OrderKeeping): Promise<void> {
  const { fleet, log, signal, times = TIMES } = options;
  const settled: Settled = new Map();

  return keepNodes({
    redis: fleet.redis,
    name: 'configs',
    every: times.look,
    atOnce: AT_ONCE,
    log,
    signal,
    find: () => unsettled(options, settled),
    async work(record) {
      const {
        id,
        name,
        observed: { bootId },
      } = record;
      const brought = await restore(options, record);
      if (brought.length > 0) log.info({ id, node: name, brought }, 'a node was brought again what it had');
      settle(settled, id, bootId);
    },
    async failed({ id, name, observed: { bootId } }, error) {
      const code = codeOf(error, '');
      const hopeless = CONFIG_REFUSALS.includes(code) || code === 'LINK_OP_UNKNOWN';
      const reason = messageOf(error);
      log[hopeless ? 'warn' : 'debug']({ id, node: name, reason }, 'what it had was not brought again');
      if (!hopeless) return times.again;
      settle(settled, id, bootId);
      const entry = {
        at: Date.now(),
        actor: KEEPER,
        node: id,
        action: 'config',
        reason: reason.slice(0, 1000),
      };
      await fleet.audit.append(entry).catch(() => {});
      return times.again;
    },
  });
}

/** Members that are up in a boot that was not checked yet, or whose order has to be renewed, and that no rollout or installation moves. */
async function unsettled({ fleet, signer }: OrderKeeping, settled: Settled): Promise<NodeRecord[]> {
  const up = await Promise.all((['healthy', 'degraded'] as const).map((state) => fleet.nodes.ids({ state })));
  const ids = up.flat();
  if (ids.length === 0) return [];
  const records = await fleet.nodes.getMany(ids);
  const now = performance.now();
  const due = records.filter(({ id, observed, wanted, installedAt }) => {
    const known = settled.get(id);
    const isSettled = known?.bootId === observed.bootId && now < known.until;
    return !isSettled && (wanted.mode !== 'installed' || installedAt !== null);
  });
  const free = await unmoved(
    fleet.redis,
    due.map(({ id }) => id),
  );
  const left = due.filter(({ id }) => free.has(id));
  const issued = await readIssued(
    fleet.redis,
    left.map(({ id }) => id),
  );
  const wanted = await Promise.all(
    left.map(async ({ id }) => {
      const inForce = issued.get(id);
      // Whether it is the right one is asked when it is brought.
      if (inForce !== undefined && hasSomething(inForce.order)) return true;
      // Also of a node whose order is gone the signer knows what it was given.
      const standing = await standingOf(fleet.redis, signer, id);
      return hasSomething(keptOf(inForce, standing));
    }),
  );
  return left.filter(({ id, observed }, i) => {
    if (wanted[i] === true) return true;
    settle(settled, id, observed.bootId);
    return false;
  });
}

/**
 * The boot in which each node was last found well, or could not be helped, and until when that counts, by
 * performance.now(): an order may have to be renewed meanwhile.
 */
type Settled = Map<string, { bootId: string; until: number }>;

const settle = (settled: Settled, id: string, bootId: string): void =>
  void settled.set(id, { bootId, until: performance.now() + SETTLED });

const hasSomething = ({ config, services }: Pick<Order, 'config' | 'services'>): boolean =>
  config !== null || services.length > 0;

/** @returns the versions that were brought; empty when all is in force already, or nothing is wanted */
async function restore(options: OrderKeeping, { id, wanted }: NodeRecord): Promise<string[]> {
  const { fleet, pool, signer, signal } = options;
  const ask = { signal, timeout: SILENCE.quick };
  const { result: status } = await pool.request(id, 'status', {}, ask);
  const free = await mustBeUnmoved(fleet, id);
  const inForce = (await readIssued(fleet.redis, [id])).get(id);
  const standing = await standingOf(fleet.redis, signer, id);
  const { config: digest, services } = keptOf(inForce, standing);
  const lost = digest === null || status.config?.digest === digest ? null : await published(fleet, digest);
  const isOld = services.length > 0 && inForce !== undefined && !isFresh(inForce.order, Date.now());
  const gone = services.filter((service) => !hasService(status, service));
  if (lost === null && gone.length === 0 && !isOld) return [];
  const { mode } = wanted;
  const other = inForce?.order ?? { mode, image: null, wipe: false, forgiven: [] };
  // A disk that was to be wiped was, or people say it again.
  const wipe = other.wipe && !isOld;
  // The order in force, or, when it is about to expire, the same content under a new epoch.
  const order = await reissue(fleet.redis, {
    ...{ node: id, wanted: { ...other, wipe, services, config: digest }, inForce, by: KEEPER },
    ...{ kind: inForce?.kind ?? 'activate', floor: Math.max(knownEpoch(status), standing.epoch) },
    ...{ while: free, now: Date.now(), race: 'CONFIG_ORDER_RACE' },
  });
  const envelope = await signKept(fleet.redis, signer, order);
  await mustBeUnmoved(fleet, id);
  await deliverOrder(pool, id, envelope, ask);
  const brought = gone.map(shownServiceVersion);
  if (lost === null) return brought;
  const document = Buffer.from(lost.document, 'utf8').toString('base64');
  const args = { epoch: order.epoch, document, apply: true };
  await pool.request(id, 'config', args, { signal, timeout: SILENCE.apply });
  // The request that ends the node's trial of it.
  await pool.request(id, 'status', {}, ask);
  return [lost.version, ...brought];
}

/** @throws BootwaveError `CONFIG_ORDER_RACE`: its turn in a rollout has come meanwhile */
async function mustBeUnmoved({ redis }: Fleet, node: string) {
  const free = (await unmoved(redis, [node])).get(node);
  if (free !== undefined) return free;
  throw new BootwaveError({
    code: 'CONFIG_ORDER_RACE',
    what: `a rollout moves ${node} by now`,
    unchanged: 'nothing was sent',
    next: 'it is tried again by itself',
  });
}

/** It has been ordered to have it. An image that knows no services would take no order that names some. */
const hasService = ({ services }: Status, { name, version }: OrderedService): boolean =>
  services === undefined || services.some((one) => one.name === name && one.version === version);

async function published({ redis }: Fleet, digest: string): Promise<PublishedConfig> {
  const found = (await listConfigs(redis)).find(({ sha256 }) => sha256 === digest);
  if (found !== undefined) return found;
  throw new BootwaveError({ code: 'CONFIG_UNKNOWN', what: `the configuration ${digest} is not published` });
}
