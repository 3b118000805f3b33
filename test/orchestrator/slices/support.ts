/** Nodes and slices for tests of their placement. */
import type { Host, Wish } from '../../../orchestrator/slices/place.ts';

const MIB = 2 ** 20;

export function host(id: string, more: Partial<Host> = {}): Host {
  const room = more.free ?? { cpu: 300, memory: 1024 * MIB };
  return {
    ...{ id, name: id, site: 'par', rack: null, role: null, labels: {}, closed: null, gone: null },
    ...{ all: room, free: room, ports: new Set<string>() },
    ...more,
  };
}

/** `count` nodes over `sites` sites. */
export const hostsOf = (
  count: number,
  sites: number,
  more: (i: number) => Partial<Host> = () => ({}),
): Host[] =>
  Array.from({ length: count }, (_, i) =>
    host(`n${String(i).padStart(5, '0')}`, { site: `s${i % sites}`, ...more(i) }),
  );

export function wish(name: string, count: number, more: Partial<Wish> = {}): Wish {
  const share = { cpu: 10, memory: 64 * MIB, disk: 0, ports: [], ...more.share };
  return { name, count, where: {}, perSite: null, nodes: [], ...more, share };
}
