import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf } from '../../base/error.ts';
import type { Logger } from '../../base/log.ts';
import { lost, unattested } from './events/live.ts';
import type { Fleet } from './fleet.ts';
import { KEYS } from './keys.ts';
import type { NodeRecord } from './record.ts';
import { WATCHED } from './transitions.ts';

/** Heartbeats that may be missed before a node counts as unreachable. */
export const MISSED_BEATS = 3;

/** Attestations that may be missed before people are told: two of them may fall into restarts. */
const MISSED_ATTESTATIONS = 3;

/** Nodes marked at the same time. */
const AT_ONCE = 50;

export type SweeperOptions = {
  fleet: Fleet;
  log: Logger;
  signal: AbortSignal;
  /** Seconds between the heartbeats of a node. */
  heartbeatSeconds: number;
  /** Minutes between the attestations of a node; by default nobody counts as late. */
  attestMinutes?: number;
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
  const silent = await fleet.heard.silentSince(limit, WATCHED);
  const marked: string[] = [];
  const mark = async (id: string) => {
    const done = await fleet.nodes.update(id, async (record) => {
      // A heartbeat may have come since; `older` checks again inside the transaction.
      const seen = await fleet.heard.lastSeenOf(id);
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
 * Marks members that last attested at or before `now - minutes`, once.
 * @returns their ids
 */
export async function sweepAttestations(fleet: Fleet, now: number, minutes: number): Promise<string[]> {
  const limit = now - minutes * 60_000;
  const late = await fleet.redis.zrange(KEYS.attested, '-inf', String(limit), 'BYSCORE');
  const marked: string[] = [];
  const isNews = (record: NodeRecord) => unattested(record, { minutes, at: now }).kind !== 'same';
  for (const { id } of (await fleet.nodes.getMany(late)).filter(isNews)) {
    const done = await fleet.nodes.update(id, (record) => ({
      outcome: record === null ? { kind: 'same' } : unattested(record, { minutes, at: now }),
      extras: { ops: [{ op: 'older', key: KEYS.attested, member: id, than: limit }] },
    }));
    if (done.kind === 'changed') marked.push(id);
  }
  return marked;
}

/**
 * Sweeps until the signal aborts, once per interval. While nobody could send us heartbeats (we were down, Redis was
 * unreachable) silence says nothing about the nodes: they get three intervals from then on.
 */
export function startSweeper(options: SweeperOptions): Promise<void> {
  const { fleet, log, signal, heartbeatSeconds, attestMinutes, now = Date.now } = options;
  const grace = MISSED_BEATS * heartbeatSeconds * 1000;
  let listeningSince = now();
  let lastSweep = listeningSince;
  const run = async () => {
    while (!signal.aborted) {
      await sleep(heartbeatSeconds * 1000, undefined, { signal }).catch(() => {});
      if (signal.aborted) return;
      const at = now();
      // A gap or a jump of the clock: this process was stopped, or the clock was set.
      if (at < lastSweep || at - lastSweep > grace) listeningSince = at;
      lastSweep = at;
      if (at - listeningSince < grace) continue;
      try {
        for (const id of await sweep(fleet, at, heartbeatSeconds)) log.warn({ id }, 'node is unreachable');
        if (attestMinutes === undefined) continue;
        const late = await sweepAttestations(fleet, at, MISSED_ATTESTATIONS * attestMinutes);
        for (const id of late) log.warn({ id }, 'node has not attested for too long');
      } catch (error) {
        listeningSince = at;
        log.error({ reason: messageOf(error) }, 'sweep failed');
      }
    }
  };
  return run();
}
