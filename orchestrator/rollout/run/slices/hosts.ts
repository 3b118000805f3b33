/** The fleet as a place for slices: what each node has for them beside the fleet's own services. Pure. */
import { bundleOf, fullServiceVersion, sliceOf } from '../../../../protocol/service/name.ts';
import type { Slice } from '../../../fleet/decisions/slices.ts';
import type { Host, Room } from '../../../slices/place.ts';
import type { PlanNode } from '../../node.ts';
import type { ServiceFacts } from '../service-facts.ts';

/** Of a node's memory and processors, for services: as bootwave-services.slice bounds their memory there. */
const PART = 0.75;

const HOUR = 3600_000;
/** Milliseconds of silence after which what a slice has on a node goes elsewhere. */
export const SILENCE = 24 * HOUR;

const GONE: Partial<Record<PlanNode['state'], string>> = {
  retired: 'it is retired',
  quarantined: 'it is quarantined',
  recovering: 'it is being recovered',
  discovered: 'it is no member of the fleet',
  pending: 'it is no member of the fleet',
};

const CLOSED: Partial<Record<PlanNode['state'], string>> = {
  enrolled: 'it is not up yet',
  installing: 'it is being installed',
  unreachable: 'it is not heard',
  degraded: 'it is ill',
};

/**
 * @param slices those that are live: what belongs to them is counted by their shares
 * @param now milliseconds since the epoch
 */
export function hostsOf(
  nodes: readonly PlanNode[],
  slices: ReadonlyMap<string, Pick<Slice, 'nodes'>>,
  takes: ServiceFacts['takes'],
  now: number,
): Host[] {
  const members = new Map([...slices].map(([name, slice]) => [name, new Set(slice.nodes)]));
  return nodes.map((node) => {
    const { id, name, site, rack, role, labels } = node;
    const all = roomOf(node);
    const free = { ...all };
    const ports = new Set<string>();
    for (const [instance, { version }] of Object.entries(node.serving ?? {})) {
      const slice = sliceOf(instance);
      if (slice !== null && members.get(slice)?.has(id) === true) continue;
      const taken = takes[fullServiceVersion(bundleOf({ name: instance, version }))];
      free.cpu -= taken?.cpu ?? 0;
      free.memory -= taken?.memory ?? 0;
      for (const port of taken?.ports ?? []) ports.add(port);
    }
    const silence = node.lastSeen === null ? 0 : now - node.lastSeen;
    const isSilent = node.state === 'unreachable' && silence > SILENCE;
    const gone = isSilent
      ? `it was not heard for ${Math.floor(silence / HOUR)} h`
      : (GONE[node.state] ?? null);
    const closed = CLOSED[node.state] ?? (all.memory === 0 ? 'its memory is not known' : node.held);
    return { ...{ id, name, site, rack, role, labels, closed, gone, all, free, ports } };
  });
}

function roomOf({ hardware: { memory, threads = 1 } }: PlanNode): Room {
  return { cpu: Math.floor(threads * 100 * PART), memory: Math.floor((memory ?? 0) * PART) };
}
