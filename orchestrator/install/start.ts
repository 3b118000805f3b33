/** The part of an orchestrator that installs nodes: looks for those that want it, a few at a time. */
import { BootwaveError, messageOf } from '../../base/error.ts';
import type { Logger } from '../../base/log.ts';
import type { NodeRecord } from '../fleet/record.ts';
import { readIssued } from '../orders/issued.ts';
import { NodeRefusal } from '../transport/errors.ts';
import { holdersOf } from '../upkeep/holders.ts';
import { keepNodes } from '../upkeep/nodes.ts';
import { type Installer, install, lose } from './install.ts';
import { INSTALL, leavesDisk, wantsInstall } from './step.ts';

export type InstallTimes = {
  /** Milliseconds between two looks at the fleet. */
  look: number;
  /** Milliseconds before a failed node is tried again; doubles up to `most`. */
  first: number;
  most: number;
  /** The longest wait for a node that could not be reached: it may be restarting. */
  away: number;
};

const INSTALL_TIMES: InstallTimes = { look: 2_000, first: 5_000, most: 300_000, away: 30_000 };

/** Nodes of one process at once: each draws an image from its boot server. */
const AT_ONCE = 16;
/** Milliseconds: a machine that is slow for a moment should not delay an installation for minutes. */
const LONGEST_PAUSE = 15_000;

const isRefusal = (error: unknown) => error instanceof NodeRefusal;

/** Runs until the signal aborts; of several orchestrators one at a time does the work. Never rejects. */
export function startInstalls(
  options: Installer & { log: Logger; times?: Partial<InstallTimes> },
): Promise<void> {
  const { fleet, log, signal } = options;
  const times = { ...INSTALL_TIMES, ...options.times };
  /** The last obstacle: logged once, not at every try. */
  const told = new Map<string, string>();
  /**
   * For nodes that boot from the network: the record's epoch at which no order named their disk, or the node had been
   * told.
   */
  const settled = new Map<string, number>();

  return keepNodes({
    redis: fleet.redis,
    name: 'installs',
    every: times.look,
    longest: LONGEST_PAUSE,
    atOnce: AT_ONCE,
    log,
    signal,
    async find() {
      const found = await candidates(options, settled);
      const here = new Set(found.map(({ id }) => id));
      for (const id of told.keys()) if (!here.has(id)) told.delete(id);
      return found;
    },
    async work(record) {
      const { id, name, epoch, wanted } = record;
      const done = await install(options, record);
      if (wanted.mode === 'netboot') settled.set(id, epoch);
      log.info({ id, node: name, done }, 'installation');
    },
    async failed(record, error, waited) {
      const { id, name } = record;
      const reason = messageOf(error);
      // A node that restarts cannot be reached for a while; that is not worth a warning each time.
      const quiet = error instanceof BootwaveError && error.code.startsWith('LINK_') && !isRefusal(error);
      const wait = Math.min((waited || times.first / 2) * 2, quiet ? times.away : times.most);
      // A machine that restarted without closing leaves a connection that looks open.
      if (error instanceof BootwaveError && error.code === 'LINK_TIMEOUT') options.pool.drop(id);
      if (quiet) await lose(options, id).catch(() => {});
      if (told.get(id) === reason) return wait;
      log[quiet ? 'debug' : 'warn']({ id, node: name, reason }, 'not installed');
      if (quiet) return wait;
      told.set(id, reason);
      await noted(options, record, reason);
      return wait;
    },
  });
}

async function candidates({ fleet }: Installer, settled: Map<string, number>): Promise<NodeRecord[]> {
  const ids = await fleet.nodes.ids();
  if (ids.length === 0) return [];
  const [records, holders] = await Promise.all([fleet.nodes.getMany(ids), holdersOf(fleet.redis, ids)]);
  const isHeld = ({ id }: NodeRecord) => holders.has(id);
  // Nearly all of them never had a disk of ours: their orders are read once for each change of their record.
  const open = records.filter(
    (record) => record.wanted.mode === 'netboot' && settled.get(record.id) !== record.epoch,
  );
  const issued = await readIssued(
    fleet.redis,
    open.map(({ id }) => id),
  );
  const leaving = open.filter((record) => {
    const order = issued.get(record.id);
    if (order === undefined || (order.order.mode === 'netboot' && order.rollout !== INSTALL))
      settled.set(record.id, record.epoch);
    return leavesDisk(record, order, isHeld(record));
  });
  const known = new Set(ids);
  for (const id of settled.keys()) if (!known.has(id)) settled.delete(id);
  return [...records.filter((record) => wantsInstall(record, isHeld(record))), ...leaving];
}

/** The obstacle is shown where an admin looks: with the node. */
async function noted(
  { fleet, now = Date.now }: Installer,
  { id }: NodeRecord,
  reason: string,
): Promise<void> {
  const at = now();
  await fleet.audit
    .append({ at, actor: 'install', node: id, action: 'install', reason: reason.slice(0, 1000) })
    .catch(() => {});
}
