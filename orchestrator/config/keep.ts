/**
 * Nodes that lost their configuration: diskless ones at every restart, installed ones with their state partition. A
 * node that restarted is asked once, and gets what its order in force names. Rollouts take care of their own nodes.
 */
import { BootwaveError, messageOf } from '../../base/error.ts';
import type { Logger } from '../../base/log.ts';
import type { Fleet } from '../fleet/fleet.ts';
import type { NodeRecord } from '../fleet/record.ts';
import { deliverOrder } from '../orders/deliver.ts';
import { knownEpoch } from '../orders/guard.ts';
import { readIssued } from '../orders/issued.ts';
import { keptConfig, signKept } from '../orders/kept.ts';
import type { OrderSigner } from '../orders/order-signer.ts';
import { reissue } from '../orders/reissue.ts';
import { standingOf } from '../orders/sign.ts';
import type { LinkPool } from '../transport/pool.ts';
import { holdersOf } from '../upkeep/holders.ts';
import { keepNodes } from '../upkeep/nodes.ts';
import { CONFIG_REFUSALS, listConfigs } from './store.ts';

export type KeeperOptions = {
  fleet: Fleet;
  pool: Pick<LinkPool, 'request'>;
  signer: OrderSigner;
  log: Logger;
  signal: AbortSignal;
  /** Milliseconds between two checks of the fleet; also the wait before a node that was not reached is asked again. */
  times?: { look: number; again: number };
};

/** Stored in the order record in place of a rollout's id. */
const KEEPER = 'config-keeper';
const TIMES = { look: 5_000, again: 30_000 };
/** Nodes of one process at once. */
const AT_ONCE = 16;
/** Milliseconds of silence. */
const SILENCE = { quick: 15_000, apply: 180_000 } as const;

/** Runs until the signal aborts; of several orchestrators one at a time does the work. Never rejects. */
export function startConfigKeeper(options: KeeperOptions): Promise<void> {
  const { fleet, log, signal, times = TIMES } = options;
  /** The boot in which each node was last found well, or could not be helped. */
  const settled = new Map<string, string>();

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
      const version = await restore(options, record);
      if (version !== null) log.info({ id, node: name, version }, 'its configuration was brought again');
      settled.set(id, bootId);
    },
    async failed({ id, name, observed: { bootId } }, error) {
      const code = error instanceof BootwaveError ? error.code : '';
      const hopeless = CONFIG_REFUSALS.includes(code) || code === 'LINK_OP_UNKNOWN';
      const reason = messageOf(error);
      log[hopeless ? 'warn' : 'debug']({ id, node: name, reason }, 'its configuration was not brought');
      if (!hopeless) return times.again;
      settled.set(id, bootId);
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

/** Members that are up in a boot that was not checked yet, and that no rollout or installation holds. */
async function unsettled(
  { fleet, signer }: KeeperOptions,
  settled: Map<string, string>,
): Promise<NodeRecord[]> {
  const up = await Promise.all((['healthy', 'degraded'] as const).map((state) => fleet.nodes.ids({ state })));
  const ids = up.flat();
  if (ids.length === 0) return [];
  const [records, holders] = await Promise.all([fleet.nodes.getMany(ids), holdersOf(fleet.redis, ids)]);
  const left = records.filter(
    ({ id, observed, wanted, installedAt }) =>
      settled.get(id) !== observed.bootId &&
      !holders.has(id) &&
      (wanted.mode !== 'installed' || installedAt !== null),
  );
  const issued = await readIssued(
    fleet.redis,
    left.map(({ id }) => id),
  );
  // Also of a node whose order is gone the signer knows what it was given.
  const wanted = await Promise.all(
    left.map(async ({ id }) => {
      const order = issued.get(id);
      // Whether it is the right one is asked when it is brought.
      return order?.order.config ?? keptConfig(order, await standingOf(fleet.redis, signer, id));
    }),
  );
  return left.filter(({ id, observed }, i) => {
    if (wanted[i] !== null) return true;
    settled.set(id, observed.bootId);
    return false;
  });
}

/** @returns the version that was brought; null when it is in force already, or none is wanted */
async function restore(options: KeeperOptions, { id, wanted }: NodeRecord): Promise<string | null> {
  const { fleet, pool, signer, signal } = options;
  const ask = { signal, timeout: SILENCE.quick };
  const { result: status } = await pool.request(id, 'status', {}, ask);
  const inForce = (await readIssued(fleet.redis, [id])).get(id);
  const standing = await standingOf(fleet.redis, signer, id);
  const digest = keptConfig(inForce, standing);
  if (digest === null || status.config?.digest === digest) return null;
  const published = (await listConfigs(fleet.redis)).find(({ sha256 }) => sha256 === digest);
  if (published === undefined) {
    throw new BootwaveError({ code: 'CONFIG_UNKNOWN', what: `the configuration ${digest} is not published` });
  }
  const { mode } = wanted;
  const other = inForce?.order ?? { mode, image: null, services: [], wipe: false, forgiven: [] };
  // The order in force, or, when it is about to expire, the same content under a new epoch.
  const order = await reissue(fleet.redis, {
    ...{ node: id, wanted: { ...other, config: digest }, inForce, by: KEEPER },
    ...{ kind: inForce?.kind ?? 'activate', floor: Math.max(knownEpoch(status), standing.epoch) },
    ...{ now: Date.now(), race: 'CONFIG_ORDER_RACE' },
  });
  await deliverOrder(pool, id, await signKept(fleet.redis, signer, order), ask);
  const document = Buffer.from(published.document, 'utf8').toString('base64');
  const args = { epoch: order.epoch, document, apply: true };
  await pool.request(id, 'config', args, { signal, timeout: SILENCE.apply });
  // The request that ends the node's trial of it.
  await pool.request(id, 'status', {}, ask);
  return published.version;
}
