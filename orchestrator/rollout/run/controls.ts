/**
 * Nodes that did not change but are asked all the same: without them a bad version looks the same as a lost network.
 */
import type { RolloutState } from '../engine.ts';
import { type NodeStep, UNDER_WAY } from '../node-step.ts';

/** Nodes to compare with: for each rack and each site that is being changed, and in all. */
const WANTED = { rack: 2, site: 3, all: 5 } as const;

/**
 * Waiting nodes that are asked like those that had their turn. A node that was asked once is asked as long as it waits:
 * otherwise it would look silent.
 */
export function controlsOf(state: RolloutState): string[] {
  const sites = new Map<string, number>();
  const racks = new Map<string, number>();
  const rack = ({ site, rack }: Readonly<NodeStep>) => `${site}/${rack ?? ''}`;
  for (const id of state.active) {
    const node = state.nodes.get(id);
    if (node === undefined || !UNDER_WAY.includes(node.state)) continue;
    sites.set(node.site, 0);
    racks.set(rack(node), 0);
  }
  const found: string[] = [];
  const spare: NodeStep[] = [];
  const take = (node: NodeStep) => {
    found.push(node.node);
    if (sites.has(node.site)) sites.set(node.site, (sites.get(node.site) ?? 0) + 1);
    if (racks.has(rack(node))) racks.set(rack(node), (racks.get(rack(node)) ?? 0) + 1);
  };
  for (const node of state.nodes.values()) {
    if (node.state !== 'pending') continue;
    if (node.heard !== null) take(node);
    else if (node.reachable) spare.push(node);
  }
  for (const node of spare) {
    const few = (counts: Map<string, number>, key: string, wanted: number) =>
      (counts.get(key) ?? wanted) < wanted;
    const isWanted =
      found.length < WANTED.all || few(sites, node.site, WANTED.site) || few(racks, rack(node), WANTED.rack);
    if (isWanted) take(node);
  }
  return found;
}
