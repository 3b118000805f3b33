/** The part of an orchestrator that installs nodes: looks for those that want it, a few at a time. */
import { setTimeout as sleep } from 'node:timers/promises';
import { BootwaveError, messageOf } from '../../base/error.ts';
import type { Logger } from '../../base/log.ts';
import type { NodeRecord } from '../fleet/record.ts';
import { readIssued } from '../rollout/run/issued.ts';
import { ROLLOUT_KEYS } from '../rollout/run/keys.ts';
import { Lease } from '../rollout/run/lease.ts';
import { NodeRefusal } from '../transport/errors.ts';
import { type Installer, install, lose } from './install.ts';
import { INSTALL, leavesDisk, wantsInstall } from './step.ts';

export type InstallTimes = {
  /** Milliseconds between two looks at the fleet. */
  look: number;
  /** Milliseconds before a node that failed is tried again; doubles up to `most`. */
  first: number;
  most: number;
  /** The most for one that is only not reached: it may be restarting. */
  away: number;
};

export const INSTALL_TIMES: InstallTimes = { look: 2_000, first: 5_000, most: 300_000, away: 30_000 };

/** Nodes of one process at once: each draws an image from its boot server. */
const AT_ONCE = 16;
/** A look at 10,000 records takes a second: at most this part of the time is spent on looking. */
const SHARE = 1 / 20;
/** Milliseconds: so that a machine which is slow for a moment does not put off an installation for minutes. */
const LONGEST_PAUSE = 15_000;

const isRefusal = (error: unknown) => error instanceof NodeRefusal;

type Entry = { due: number; wait: number };

/** Runs until the signal aborts; of several orchestrators one at a time does the work. Never rejects. */
export async function startInstalls(
  options: Installer & { log: Logger; times?: Partial<InstallTimes> },
): Promise<void> {
  const { fleet, log, signal } = options;
  const times = { ...INSTALL_TIMES, ...options.times };
  const lease = new Lease(fleet.redis, 'installs');
  const busy = new Map<string, Promise<void>>();
  const later = new Map<string, Entry>();
  /** What stood in the way last: said once, not at every try. */
  const said = new Map<string, string>();
  /** Of nodes that boot from the network, the record's epoch at which no order named their disk, or the node was told. */
  const settled = new Map<string, number>();
  /** Counts the tries. Who was tried longest ago comes first, so that a thousand dead nodes keep no living one waiting. */
  const tried = new Map<string, number>();
  let tries = 0;

  const work = async (record: NodeRecord): Promise<void> => {
    const { id, name } = record;
    try {
      const done = await install(options, record);
      later.delete(id);
      if (record.wanted.mode === 'netboot') settled.set(id, record.epoch);
      log.info({ id, node: name, done }, 'installation');
    } catch (error) {
      if (signal.aborted) return;
      const reason = messageOf(error);
      // A node that restarts cannot be reached for a while; that is not worth a warning each time.
      const quiet = error instanceof BootwaveError && error.code.startsWith('LINK_') && !isRefusal(error);
      const most = quiet ? times.away : times.most;
      const wait = Math.min((later.get(id)?.wait ?? times.first / 2) * 2, most);
      later.set(id, { due: performance.now() + wait, wait });
      // A machine that restarted without a farewell leaves a connection that looks open.
      if (error instanceof BootwaveError && error.code === 'LINK_TIMEOUT') options.pool.drop(id);
      if (quiet) await lose(options, id).catch(() => {});
      if (said.get(id) === reason) return;
      log[quiet ? 'debug' : 'warn']({ id, node: name, reason }, 'not installed');
      if (quiet) return;
      said.set(id, reason);
      await noted(options, record, reason);
    }
  };

  while (!signal.aborted) {
    const began = performance.now();
    try {
      if ((await lease.renew()) || (await lease.take())) {
        const found = await candidates(options, settled);
        const here = new Set(found.map(({ id }) => id));
        for (const known of [later, said, tried])
          for (const id of known.keys()) if (!here.has(id)) known.delete(id);
        for (const record of found.sort((a, b) => (tried.get(a.id) ?? 0) - (tried.get(b.id) ?? 0))) {
          const { id } = record;
          if (busy.size >= AT_ONCE) break;
          if (busy.has(id) || (later.get(id)?.due ?? 0) > performance.now()) continue;
          tries += 1;
          tried.set(id, tries);
          busy.set(
            id,
            work(record).finally(() => busy.delete(id)),
          );
        }
      }
    } catch (error) {
      if (!signal.aborted) log.warn({ reason: messageOf(error) }, 'the installer waits for Redis');
    }
    const pause = Math.max(times.look, Math.min((performance.now() - began) / SHARE, LONGEST_PAUSE));
    await sleep(pause, undefined, { signal }).catch(() => {});
  }
  await Promise.allSettled(busy.values());
  await lease.release().catch(() => {});
}

async function candidates({ fleet }: Installer, settled: Map<string, number>): Promise<NodeRecord[]> {
  const ids = await fleet.nodes.ids();
  if (ids.length === 0) return [];
  const [records, holders] = await Promise.all([
    fleet.nodes.getMany(ids),
    fleet.redis.hgetall(ROLLOUT_KEYS.holders),
  ]);
  const isHeld = ({ id }: NodeRecord) => holders[id] !== undefined;
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

/** What stands in its way is shown where an admin looks: with the node. */
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
