/** What Prometheus is told: names, labels and units. Labels are names that the fleet gave, never words of a node. Pure. */

import type { InstanceUsage, Usage } from '../../protocol/link/usage.ts';
import { shownName, sliceOf } from '../../protocol/service/name.ts';
import type { Slice } from '../fleet/decisions/slices.ts';
import type { Counts } from '../fleet/overview.ts';
import type { VersionCount } from '../usage/versions.ts';
import type { Family, Labels, Sample } from './format.ts';

/** A node that has said what it uses; seconds since the epoch at which it was heard. */
export type Told = { name: string; site: string; usage: Usage; heard: number };

export type FleetFacts = {
  counts: Counts;
  /** Nodes by site and state. */
  states: readonly { site: string; state: string; nodes: number }[];
  rollouts: readonly { state: string; rollouts: number }[];
  versions: readonly VersionCount[];
  /** Seconds since the epoch of its last heartbeat. */
  seen: readonly { name: string; site: string; at: number }[];
  /** Disks that foretell whether they fail. */
  smart: readonly { name: string; site: string; failing: number; well: number }[];
};

export function* fleetFamilies({
  counts,
  states,
  rollouts,
  versions,
  seen,
  smart,
}: FleetFacts): Generator<Family> {
  yield {
    name: 'bootwave_fleet_nodes',
    type: 'gauge',
    help: 'Nodes that are registered, of these reachable, of these healthy, of these usable.',
    samples: Object.entries(counts).map(([is, nodes]): Sample => [{ is }, nodes]),
  };
  yield {
    name: 'bootwave_nodes',
    type: 'gauge',
    help: 'Nodes by site and state.',
    samples: states.map(({ site, state, nodes }): Sample => [{ site, state }, nodes]),
  };
  yield {
    name: 'bootwave_rollouts',
    type: 'gauge',
    help: 'Rollouts by state.',
    samples: rollouts.map(({ state, rollouts: count }): Sample => [{ state }, count]),
  };
  yield {
    name: 'bootwave_service_nodes',
    type: 'gauge',
    help: 'Nodes that are wanted to run a version of a service, that run it, and that are to and have not said.',
    samples: versions.flatMap(({ name, version, wanted, runs, unknown }): Sample[] => {
      const labels = { service: shownName(name), version };
      return [
        [{ ...labels, is: 'wanted' }, wanted],
        [{ ...labels, is: 'running' }, runs],
        [{ ...labels, is: 'unknown' }, unknown],
      ];
    }),
  };
  yield {
    name: 'bootwave_node_seen_timestamp_seconds',
    type: 'gauge',
    help: 'When the last heartbeat of a node came in.',
    samples: seen.map(({ name, site, at }): Sample => [{ site, node: name }, at]),
  };
  yield {
    name: 'bootwave_node_smart_disks',
    type: 'gauge',
    help: 'Disks of a node that foretell that they fail, and that foretell no failure; one that says nothing is neither.',
    samples: smart.flatMap(({ name, site, failing, well }): Sample[] => [
      [{ site, node: name, is: 'failing' }, failing],
      [{ site, node: name, is: 'well' }, well],
    ]),
  };
}

type Column<T> = readonly [name: string, type: Family['type'], help: string, of: (one: T) => number | null];

const seconds = (milliseconds: number | null): number | null =>
  milliseconds === null ? null : milliseconds / 1000;

const NODE: readonly Column<Told>[] = [
  ['usage_timestamp_seconds', 'gauge', 'When the node last said what it uses.', ({ heard }) => heard],
  ['uptime_seconds', 'gauge', 'Time since its boot.', ({ usage }) => usage.at / 1000],
  ['processors', 'gauge', 'Its processors.', ({ usage }) => usage.processors],
  ['cpu_seconds_total', 'counter', 'Busy time of all of them.', ({ usage }) => seconds(usage.cpu)],
  ['memory_bytes', 'gauge', 'Its memory.', ({ usage }) => usage.memory?.total ?? null],
  [
    'memory_available_bytes',
    'gauge',
    'Memory that programs can still get.',
    ({ usage }) => usage.memory?.available ?? null,
  ],
  ['disk_read_bytes_total', 'counter', 'Read from its disks.', ({ usage }) => usage.disk?.read ?? null],
  [
    'disk_written_bytes_total',
    'counter',
    'Written to its disks.',
    ({ usage }) => usage.disk?.written ?? null,
  ],
  [
    'network_received_bytes_total',
    'counter',
    'Received by its network cards.',
    ({ usage }) => usage.network?.received ?? null,
  ],
  [
    'network_sent_bytes_total',
    'counter',
    'Sent by its network cards.',
    ({ usage }) => usage.network?.sent ?? null,
  ],
];

const INSTANCE: readonly Column<InstanceUsage>[] = [
  ['running', 'gauge', '1 while it runs.', ({ state }) => (state === 'running' ? 1 : 0)],
  [
    'healthy',
    'gauge',
    '1 while it is healthy, 0 while it is ill.',
    ({ health }) => (health === 'unknown' ? null : health === 'healthy' ? 1 : 0),
  ],
  ['restarts', 'gauge', 'How often it was started again since its order began it.', (one) => one.restarts],
  ['cpu_seconds_total', 'counter', 'Its processor time.', ({ cpu }) => seconds(cpu)],
  ['memory_bytes', 'gauge', 'Its memory without files that are only cached.', ({ memory }) => memory],
  ['tasks', 'gauge', 'Its processes and threads.', ({ tasks }) => tasks],
  ['disk_read_bytes_total', 'counter', 'Read from the state partition.', ({ disk }) => disk?.read ?? null],
  [
    'disk_written_bytes_total',
    'counter',
    'Written to the state partition.',
    ({ disk }) => disk?.written ?? null,
  ],
  [
    'network_received_bytes_total',
    'counter',
    'Received at its interface.',
    ({ network }) => network?.received ?? null,
  ],
  ['network_sent_bytes_total', 'counter', 'Sent at its interface.', ({ network }) => network?.sent ?? null],
];

const placesOf = (nodes: readonly Told[]) => nodes.map(({ site, name }): Labels => ({ site, node: name }));

/** Series of each node. A number that nobody knows is absent, never 0. */
export function* nodeFamilies(nodes: readonly Told[]): Generator<Family> {
  const places = placesOf(nodes);
  for (const [name, type, help, of] of NODE)
    yield {
      ...{ name: `bootwave_node_${name}`, type, help },
      samples: (function* (): Generator<Sample> {
        for (const [i, node] of nodes.entries()) yield [places[i]!, of(node)];
      })(),
    };
}

/** Series of each instance on these nodes; those of slices have their slice as a label, to be summed by it. */
export function* instanceFamilies(nodes: readonly Told[]): Generator<Family> {
  const places = placesOf(nodes);
  for (const [name, type, help, of] of INSTANCE)
    yield {
      ...{ name: `bootwave_instance_${name}`, type, help },
      samples: (function* (): Generator<Sample> {
        for (const [i, { usage }] of nodes.entries())
          for (const one of usage.services) {
            const slice = sliceOf(one.name);
            const labels = { ...places[i]!, service: shownName(one.name) };
            yield [slice === null ? labels : { ...labels, slice }, of(one)];
          }
      })(),
    };
}

const SLICE: readonly Column<Slice>[] = [
  ['nodes', 'gauge', 'Nodes that it has.', ({ nodes }) => nodes.length],
  ['nodes_wanted', 'gauge', 'Nodes that it is to have.', ({ count }) => count],
  ['expires_timestamp_seconds', 'gauge', 'When it expires.', ({ expires }) => expires / 1000],
  ['share_cpu', 'gauge', 'Processors that it has of each node.', ({ share }) => share.cpu / 100],
  ['share_memory_bytes', 'gauge', 'Memory that it has of each node.', ({ share }) => share.memory],
];

/** What slices were given. What they use is in the series of their instances. */
export function* sliceFamilies(slices: readonly Slice[]): Generator<Family> {
  for (const [name, type, help, of] of SLICE)
    yield {
      ...{ name: `bootwave_slice_${name}`, type, help },
      samples: slices.map((slice): Sample => [{ slice: slice.name }, of(slice)]),
    };
}
