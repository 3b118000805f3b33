import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf } from '../../base/error.ts';
import type { Logger } from '../../base/log.ts';
import { lost } from './events/live.ts';
import type { Fleet } from './fleet.ts';
import { KEYS } from './keys.ts';
import { WATCHED } from './transitions.ts';

/** Heartbeats that may be missed before a node counts as unreachable. */
export const MISSED_BEATS = 3;

/** Nodes marked at the same time. */
const AT_ONCE = 50;

export type SweeperOptions = {
  fleet: Fleet;
  log: Logger;
  signal: AbortSignal;
  /** Seconds between the heartbeats of a node. */
  heartbeatSeconds: number;
  /** Milliseconds since the epoch. */
  now?: () => number;
};

/**
 * Marks as unreachable what was last heard from at or before `now - 3 intervals`.
 * @returns ids of the nodes that were marked
 */
export async function sweep(fleet: Fleet, now: number, heartbeatSeconds: number): Promise<string[]> {
  const seconds = MISSED_BEATS * heartbeatSeconds;
  const limit = now - seconds * 1000;
  const silent = await fleet.nodes.silentSince(limit, WATCHED);
  const marked: string[] = [];
  const mark = async (id: string) => {
    const done = await fleet.nodes.update(id, async (record) => {
      // A heartbeat may have come since; `older` asks again inside the transaction.
      const seen = await fleet.nodes.lastSeenOf(id);
      if (record === null || seen === null || seen > limit) return { outcome: { kind: 'same' } };
      return {
        outcome: lost(record, { seconds, at: now }),
        extras: { ops: [{ op: 'older', key: KEYS.seen, member: id, than: limit }] },
      };
    });
    if (done.kind === 'changed') marked.push(id);
  };
  // A site that loses its uplink loses all its nodes at once.
  for (let i = 0; i < silent.length; i += AT_ONCE) await Promise.all(silent.slice(i, i + AT_ONCE).map(mark));
  return marked;
}

/**
 * Sweeps until the signal aborts, once per interval. While nobody could send us heartbeats (we were down, Redis was
 * away) silence says nothing about the nodes: they get three intervals from then on.
 */
export function startSweeper(options: SweeperOptions): Promise<void> {
  const { fleet, log, signal, heartbeatSeconds, now = Date.now } = options;
  const grace = MISSED_BEATS * heartbeatSeconds * 1000;
  let listeningSince = now();
  let lastSweep = listeningSince;
  const run = async () => {
    while (!signal.aborted) {
      await sleep(heartbeatSeconds * 1000, undefined, { signal }).catch(() => {});
      if (signal.aborted) return;
      const at = now();
      // A gap or a jump of the clock: we were stopped, or time itself was.
      if (at < lastSweep || at - lastSweep > grace) listeningSince = at;
      lastSweep = at;
      if (at - listeningSince < grace) continue;
      try {
        for (const id of await sweep(fleet, at, heartbeatSeconds)) log.warn({ id }, 'node is unreachable');
      } catch (error) {
        listeningSince = at;
        log.error({ reason: messageOf(error) }, 'sweep failed');
      }
    }
  };
  return run();
}
