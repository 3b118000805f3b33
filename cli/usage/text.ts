/** What nodes and services use, as people read it. `-`: nobody knows. */
import type { InstanceTop, NodeTop, ServiceTop, SliceTop } from '../../orchestrator/usage/top.ts';
import { ago } from '../ago.ts';
import { table } from '../context.ts';

const UNKNOWN = '-';

/** Three digits at the most, in powers of 1024. */
export function amount(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  const power = Math.min(units.length - 1, bytes < 1 ? 0 : Math.floor(Math.log2(bytes) / 10));
  const value = bytes / 1024 ** power;
  return `${value.toFixed(power === 0 || value >= 99.95 ? 0 : 1)} ${units[power]}`;
}

const speed = (bytes: number): string => `${amount(bytes)}/s`;
const orUnknown = <T>(value: T | null, text: (value: T) => string): string =>
  value === null ? UNKNOWN : text(value);

const disk = (rates: NodeTop['disk']): [string, string] => [
  orUnknown(rates, ({ read }) => speed(read)),
  orUnknown(rates, ({ written }) => speed(written)),
];
const network = (rates: NodeTop['network']): [string, string] => [
  orUnknown(rates, ({ received }) => speed(received)),
  orUnknown(rates, ({ sent }) => speed(sent)),
];
/** Of all processors of a node. */
const share = (cpu: number | null, processors: number | null): string =>
  cpu === null || processors === null
    ? UNKNOWN
    : `${((100 * cpu) / processors).toFixed(0)} % of ${processors}`;
/** Of one processor, as a manifest's limit. */
const processor = (cpu: number | null): string => orUnknown(cpu, (busy) => `${(100 * busy).toFixed(1)} %`);
const memory = (both: NodeTop['memory']): string =>
  orUnknown(both, ({ used, total }) => `${amount(used)} of ${amount(total)}`);

const SPEEDS = ['READS', 'WRITES', 'RECEIVES', 'SENDS'];

export function nodesText(rows: readonly NodeTop[], now: number): string {
  return table(
    ['NODE', 'SITE', 'CPU', 'MEMORY', ...SPEEDS, 'SERVICES', 'HEARD'],
    rows.map((row) => [
      row.name,
      row.site,
      share(row.cpu, row.processors),
      memory(row.memory),
      ...disk(row.disk),
      ...network(row.network),
      row.wanted === 0 ? '' : `${row.runs ?? UNKNOWN} of ${row.wanted}`,
      orUnknown(row.heard, (heard) => ago(heard, now)),
    ]),
  );
}

export function servicesText(rows: readonly ServiceTop[]): string {
  return table(
    ['SERVICE', 'RUNS ON', 'CPU', 'MEMORY', ...SPEEDS, 'MOST ON'],
    rows.map((row) => [
      row.service,
      `${row.runs} of ${row.wanted}${row.unknown === 0 ? '' : `, ${row.unknown} unknown`}`,
      processor(row.cpu),
      orUnknown(row.memory, amount),
      ...disk(row.disk),
      ...network(row.network),
      row.node ?? UNKNOWN,
    ]),
  );
}

/** `HAS`: of all of its nodes together, as far as they are shown. */
export function slicesText(rows: readonly SliceTop[]): string {
  return table(
    ['SLICE', 'NODES', 'RUNS', 'CPU', 'HAS', 'MEMORY', 'HAS', ...SPEEDS],
    rows.map((row) => [
      ...[row.slice, String(row.nodes), `${row.runs} of ${row.wanted}`],
      ...[processor(row.cpu), `${row.nodes * row.share.cpu} %`],
      ...[orUnknown(row.memory, amount), amount(row.nodes * row.share.memory)],
      ...[...disk(row.disk), ...network(row.network)],
    ]),
  );
}

export const sliceText = (rows: readonly InstanceTop[]): string =>
  table(
    ['SERVICE', ...INSTANCE],
    rows.map((row) => [row.service, ...instanceCells(row)]),
  );

export function instancesText(rows: readonly InstanceTop[]): string {
  return table(INSTANCE, rows.map(instanceCells));
}

const INSTANCE = [
  'NODE',
  'SITE',
  'VERSION',
  'STATE',
  'HEALTH',
  'CPU',
  'MEMORY',
  'TASKS',
  ...SPEEDS,
  'RESTARTS',
];

const instanceCells = (row: InstanceTop): string[] => [
  row.node,
  row.site,
  row.version ?? UNKNOWN,
  row.state,
  row.health,
  processor(row.cpu),
  orUnknown(row.memory, amount),
  orUnknown(row.tasks, String),
  ...disk(row.disk),
  ...network(row.network),
  orUnknown(row.restarts, String),
];

/** How many of them are shown, and of whom nothing is known. */
export function restText(
  shown: number,
  all: number,
  { nodes, told }: { nodes: number; told: number },
): string[] {
  const lines: string[] = [];
  if (shown < all) lines.push(`the first ${shown} of ${all}; --most shows more`);
  if (told < nodes)
    lines.push(
      `${nodes - told} of ${nodes} nodes have not said what they use: they are silent, have just come, or their image is older`,
    );
  return lines.length === 0 ? [] : ['', ...lines];
}

/** For `node show`. */
export function usesRows(
  { node, instances }: { node: NodeTop; instances: readonly InstanceTop[] },
  now: number,
): [string, string][] {
  const { heard, cpu, processors } = node;
  const [read, written] = disk(node.disk);
  const [received, sent] = network(node.network);
  const uses =
    heard === null
      ? 'unknown: it has not said'
      : `CPU ${share(cpu, processors)}, memory ${memory(node.memory)}, reads ${read}, writes ${written}, receives ${received}, sends ${sent} (${ago(heard, now)})`;
  return [
    ['uses', uses],
    ...instances.map((one): [string, string] => {
      const { service, version, state, health, why } = one;
      const name = version === null ? service : `${service}:${version}`;
      const doing = health === 'unknown' ? state : `${state}, ${health}`;
      const uses = `, CPU ${processor(one.cpu)}, memory ${orUnknown(one.memory, amount)}`;
      const isIdle = version === null && why !== '';
      return ['service', `${name} ${doing}${isIdle ? '' : uses}${why === '' ? '' : `: ${why}`}`];
    }),
  ];
}
