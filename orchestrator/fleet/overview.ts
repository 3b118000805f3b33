import type { Fleet } from './fleet.ts';
import { type Silence, silences } from './listening.ts';
import { type Machine, type Stuck, stuck } from './machine.ts';
import type { NodeRecord } from './record.ts';
import { isRegistered, type State } from './transitions.ts';

export type NodeView = NodeRecord & {
  /** Milliseconds since the epoch of its last heartbeat, null before the first certificate. */
  lastSeen: number | null;
  /** Set when it began to boot from the network and did not come back. */
  stuck: Stuck | null;
  /** Why the image that it is pinned to may not be run any more; absent: it may, or nobody has looked. */
  pinFlaw?: string | undefined;
  /** In what its hardware falls short of the profile of its model; absent: in nothing, or nobody has looked. */
  shortfalls?: string[] | undefined;
};

/** A machine without a record. */
export type MachineView = Machine & { stuck: Stuck | null };

/** Four numbers, because a single number would hide dead nodes. Each counts a part of the one before. */
export type Counts = {
  /** Approved and not retired. */
  registered: number;
  /** Heard from within three heartbeats, when the sweeper last checked. */
  reachable: number;
  /** Reports that it is healthy. */
  healthy: number;
  /**
   * Healthy, runs the image that is wanted of it where one is, and not in the middle of a change. That a newer image was
   * published makes no node worse.
   */
  usable: number;
};

export type Overview = {
  nodes: NodeView[];
  machines: MachineView[];
  counts: Counts;
  /** Where nobody listens: what is shown of nodes there is what was heard last. */
  silent: Silence[];
  /** What is wrong with records that cannot be read. */
  unreadable: string[];
};

const REACHABLE: readonly State[] = ['enrolled', 'installing', 'updating', 'healthy', 'degraded'];

export function countsOf(nodes: readonly NodeRecord[]): Counts {
  const registered = nodes.filter((node) => isRegistered(node.state));
  const reachable = registered.filter(
    (node) => REACHABLE.includes(node.state) && node.identity.certificateSerial !== null,
  );
  const healthy = reachable.filter((node) => node.observed.healthy === true);
  const usable = healthy.filter(
    ({ state, wanted, observed }) =>
      state === 'healthy' && (wanted.image === null || wanted.image === observed.image),
  );
  return {
    registered: registered.length,
    reachable: reachable.length,
    healthy: healthy.length,
    usable: usable.length,
  };
}

export function viewOf(
  record: NodeRecord,
  lastSeen: number | null,
  machines: ReadonlyMap<string, Machine>,
  now: number,
  attestedAt = 0,
): NodeView {
  const boots = record.inventory.nics
    .map((nic) => machines.get(nic.mac))
    .filter((machine) => machine !== undefined)
    .sort((a, b) => b.stepAt - a.stepAt);
  const [latest] = boots;
  return {
    ...record,
    // A quote with no news is counted, not written.
    observed: { ...record.observed, lastAttestedAt: Math.max(record.observed.lastAttestedAt, attestedAt) },
    lastSeen,
    stuck: latest === undefined ? null : stuck(latest, record.observed.lastAttestedAt, now),
  };
}

/**
 * Every node and every machine without a record: a fixed number of round trips, one per 500 nodes, and one per site.
 */
export async function overview(
  fleet: Fleet,
  where: { site?: string | undefined; state?: State | undefined },
  now: number,
): Promise<Overview> {
  const [ids, seen, attested, machines, owned, silent] = await Promise.all([
    fleet.nodes.ids(where),
    fleet.heard.lastSeen(),
    fleet.heard.lastAttested(),
    fleet.machines.all(),
    fleet.nodes.ownedMacs(),
    silences(fleet, now, where.site),
  ]);
  const unreadable: string[] = [];
  const records = await fleet.nodes.getMany(ids, ({ what }) => void unreadable.push(what));
  const strangers = [...machines.values()].filter(
    (machine) =>
      !owned.has(machine.mac) &&
      (where.site === undefined || machine.site === where.site) &&
      (where.state === undefined || where.state === 'discovered'),
  );
  return {
    nodes: records
      .map((record) => viewOf(record, seen.get(record.id) ?? null, machines, now, attested.get(record.id)))
      .sort((a, b) => a.site.localeCompare(b.site) || a.name.localeCompare(b.name, 'en', { numeric: true })),
    machines: strangers
      .map((machine) => ({ ...machine, stuck: stuck(machine, null, now) }))
      .sort((a, b) => a.firstSeen - b.firstSeen),
    counts: countsOf(records),
    silent,
    unreadable,
  };
}
