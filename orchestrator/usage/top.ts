/** Who uses most. What nobody knows is null and stands last. Pure. */
import { shownName, sliceOf } from '../../protocol/service/name.ts';
import type { Share, Slice } from '../fleet/decisions/slices.ts';
import type { State } from '../fleet/transitions.ts';
import type { By } from './by.ts';
import type { NodeUsage } from './fleet.ts';
import { type Rates, UNKNOWN } from './record.ts';

export type NodeTop = Rates & {
  id: string;
  name: string;
  site: string;
  state: State;
  processors: number | null;
  memory: { used: number; total: number } | null;
  /** Services that its order names, and those of them that run; null: it has not said. */
  wanted: number;
  runs: number | null;
  /** Milliseconds since the epoch at which it last said so; null: it has not, or not for a while. */
  heard: number | null;
};

export function nodeTop({ node, usage, wanted, runs }: NodeUsage): NodeTop {
  const { id, name, site, state } = node;
  const memory = usage?.usage.memory ?? null;
  return {
    ...{ id, name, site, state },
    processors: usage?.usage.processors ?? null,
    ...(usage?.rates ?? UNKNOWN),
    memory:
      memory === null ? null : { used: Math.max(0, memory.total - memory.available), total: memory.total },
    wanted: wanted.length,
    runs: runs === null ? null : runs.length,
    heard: usage?.heard ?? null,
  };
}

/** Nodes by what they use of what they have, where that has an end. */
export function topNodes(all: readonly NodeUsage[], by: By): NodeTop[] {
  const share = ({ cpu, processors, memory, ...rest }: NodeTop): number | null => {
    if (by === 'cpu') return cpu === null || processors === null ? null : cpu / processors;
    if (by === 'memory') return memory === null || memory.total === 0 ? null : memory.used / memory.total;
    return speed(rest, by);
  };
  return all
    .map(nodeTop)
    .map((row) => ({ row, share: share(row) }))
    .sort((a, b) => most(a.share, b.share) || byName(a.row, b.row))
    .map(({ row }) => row);
}

export type InstanceTop = Rates & {
  /** As people write it. */
  service: string;
  node: string;
  site: string;
  /** The version that runs; null: none, or unknown. */
  version: string | null;
  /** `unknown`: the node has not said anything; `absent`: it has, and nothing of this one yet. */
  state: string;
  health: string;
  /** Why it does not run, or would not start again, in the node's words; empty: nothing of that, or the node has not said. */
  why: string;
  restarts: number | null;
  memory: number | null;
  tasks: number | null;
  heard: number | null;
};

/** The same node, with what a slice has there and nothing else. */
export function ofSlice(slice: string, { node, usage, wanted, runs }: NodeUsage): NodeUsage {
  const isTheirs = ({ name }: { name: string }) => sliceOf(name) === slice;
  return {
    ...{ node, wanted: wanted.filter(isTheirs), runs: runs?.filter(isTheirs) ?? null },
    usage: usage && { ...usage, usage: { ...usage.usage, services: usage.usage.services.filter(isTheirs) } },
  };
}

/** Every service that the order of a node names, on that node. */
export function instancesOf({ node, usage, wanted }: NodeUsage): InstanceTop[] {
  const told = new Map((usage?.usage.services ?? []).map((one) => [one.name, one]));
  return wanted.map(({ name }) => {
    const one = told.get(name);
    return {
      ...{ service: shownName(name), node: node.name, site: node.site },
      version: one?.runs ?? null,
      state: one?.state ?? (usage === null ? 'unknown' : 'absent'),
      health: one?.health ?? 'unknown',
      why: one?.why ?? '',
      restarts: one?.restarts ?? null,
      ...(usage?.services[name] ?? UNKNOWN),
      memory: one?.memory ?? null,
      tasks: one?.tasks ?? null,
      heard: usage?.heard ?? null,
    };
  });
}

export function topInstances(all: readonly InstanceTop[], by: By): InstanceTop[] {
  return all.toSorted(
    (a, b) =>
      most(used(a, by), used(b, by)) ||
      byName({ ...a, name: a.node }, { ...b, name: b.node }) ||
      (a.service < b.service ? -1 : 1),
  );
}

export type ServiceTop = Rates & {
  service: string;
  /** Nodes that are to run it, of these those that run it, and those that have not said. */
  wanted: number;
  runs: number;
  unknown: number;
  memory: number | null;
  /** Where it uses most; null: nobody knows. */
  node: string | null;
};

/** Sums over the instances of which something is known. */
export function topServices(all: readonly InstanceTop[], by: By): ServiceTop[] {
  const byService = Map.groupBy(all, ({ service }) => service);
  return [...byService]
    .map(([service, some]): ServiceTop => {
      const [first] = topInstances(some, by);
      return {
        service,
        wanted: some.length,
        runs: some.filter(({ version }) => version !== null).length,
        unknown: some.filter(({ state }) => state === 'unknown').length,
        ...usedBy(some),
        node: first === undefined || used(first, by) === null ? null : first.node,
      };
    })
    .sort((a, b) => most(used(a, by), used(b, by)) || (a.service < b.service ? -1 : 1));
}

/** What is known of all of them together; null: nothing. */
function usedBy(some: readonly InstanceTop[]): Rates & { memory: number | null } {
  const disks = some.flatMap(({ disk }) => disk ?? []);
  const networks = some.flatMap(({ network }) => network ?? []);
  return {
    cpu: sum(some.map(({ cpu }) => cpu)),
    memory: sum(some.map(({ memory }) => memory)),
    disk:
      disks.length === 0
        ? null
        : { read: total(disks.map(({ read }) => read)), written: total(disks.map(({ written }) => written)) },
    network:
      networks.length === 0
        ? null
        : {
            received: total(networks.map(({ received }) => received)),
            sent: total(networks.map(({ sent }) => sent)),
          },
  };
}

export type SliceTop = Rates & {
  slice: string;
  /** That it has, of these sites; and instances there, and those of them that run. */
  nodes: number;
  wanted: number;
  runs: number;
  memory: number | null;
  /** Of each node. */
  share: Share;
};

/** @param slices with the nodes that each has @param all nodes that are looked at */
export function topSlices(slices: readonly SliceHas[], all: readonly NodeUsage[], by: By): SliceTop[] {
  const instances = Map.groupBy(all.flatMap(instancesOf), ({ service }) => sliceOf(service));
  const there = new Set(all.map(({ node }) => node.id));
  return slices
    .map(({ name, nodes, share }): SliceTop => {
      const own = instances.get(name) ?? [];
      return {
        ...{ slice: name, nodes: nodes.filter((id) => there.has(id)).length, share },
        wanted: own.length,
        runs: own.filter(({ version }) => version !== null).length,
        ...usedBy(own),
      };
    })
    .sort((a, b) => most(used(a, by), used(b, by)) || (a.slice < b.slice ? -1 : 1));
}

type SliceHas = Pick<Slice, 'name' | 'nodes' | 'share'>;

const total = (parts: readonly number[]): number => parts.reduce((all, part) => all + part, 0);

function sum(parts: readonly (number | null)[]): number | null {
  const known = parts.filter((part) => part !== null);
  return known.length === 0 ? null : total(known);
}

function used(row: Rates & { memory: number | null }, by: By): number | null {
  if (by === 'cpu' || by === 'memory') return row[by];
  return speed(row, by);
}

function speed({ disk, network }: Pick<Rates, 'disk' | 'network'>, by: 'disk' | 'network'): number | null {
  if (by === 'disk') return disk === null ? null : disk.read + disk.written;
  return network === null ? null : network.received + network.sent;
}

/** The larger first, the unknown last. */
const most = (a: number | null, b: number | null): number =>
  a === b ? 0 : a === null ? 1 : b === null ? -1 : b - a;

const byName = (a: { site: string; name: string }, b: { site: string; name: string }): number =>
  a.site.localeCompare(b.site) || a.name.localeCompare(b.name, 'en', { numeric: true });
