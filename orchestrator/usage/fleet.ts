/** What all nodes run and use, as it is on record now. */
import type { Fleet } from '../fleet/fleet.ts';
import type { NodeRecord } from '../fleet/record.ts';
import { isRegistered } from '../fleet/transitions.ts';
import { readIssued } from '../orders/issued.ts';
import type { UsageRecord } from './record.ts';
import { readUsages } from './stored.ts';
import type { NodeRuns } from './versions.ts';

export type NodeUsage = {
  node: NodeRecord;
  /** Null: it has not said. */
  usage: UsageRecord | null;
} & NodeRuns;

/** Of every node that belongs to the fleet. */
export async function fleetUsage(
  fleet: Fleet,
  where: { site?: string | undefined } = {},
): Promise<NodeUsage[]> {
  const records = await fleet.nodes.getMany(await fleet.nodes.ids(where));
  return usageOf(
    fleet,
    records.filter(({ state }) => isRegistered(state)),
  );
}

export async function usageOf(fleet: Fleet, nodes: readonly NodeRecord[]): Promise<NodeUsage[]> {
  const ids = nodes.map(({ id }) => id);
  const [orders, usages] = await Promise.all([readIssued(fleet.redis, ids), readUsages(fleet.redis, ids)]);
  return nodes.map((node) => {
    const usage = usages.get(node.id) ?? null;
    const wanted = orders.get(node.id)?.order.services ?? [];
    const runs = (usage?.usage.services ?? []).flatMap(({ name, runs: version }) =>
      version === null ? [] : [{ name, version }],
    );
    return {
      ...{ node, usage },
      wanted: wanted.map(({ name, version }) => ({ name, version })),
      runs: usage === null ? null : runs,
    };
  });
}
