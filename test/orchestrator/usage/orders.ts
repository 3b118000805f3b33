/** Orders that name services, and members that have them, without a node. */
import { commit } from '../../../orchestrator/fleet/commit.ts';
import type { Fleet } from '../../../orchestrator/fleet/fleet.ts';
import { orderKey } from '../../../orchestrator/orders/issued.ts';
import type { InstanceUsage } from '../../../protocol/link/usage.ts';

/** What its order names, each in version 1. */
export async function ordered(fleet: Fleet, node: string, names: readonly string[]): Promise<void> {
  const services = names.map((name) => ({ name, version: '1', sha256: 'a'.repeat(64), size: 1 }));
  const order = { format: 1, node, epoch: 4, mode: 'installed', image: null, config: null, services };
  const body = JSON.stringify({ rollout: 'ro-1', kind: 'activate', order });
  const next = { state: 'issued', epoch: 4, body };
  await commit(fleet.redis, { records: [{ key: orderKey(node), expect: null, next }] });
}

export const instanceOf = (name: string, more: Partial<InstanceUsage> = {}): InstanceUsage => ({
  ...{ name, runs: '1', state: 'running', health: 'healthy', restarts: 0 },
  ...{ cpu: 1000, memory: 2 ** 20, tasks: 3 },
  ...{ disk: { read: 0, written: 0 }, network: { received: 0, sent: 0 } },
  ...more,
});
