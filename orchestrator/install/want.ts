import type { Fleet } from '../fleet/fleet.ts';
import { take } from '../fleet/outcome.ts';

/**
 * Asks for a node to run from its own disk; the installer does the rest.
 * @param by who asks, for the audit stream
 * @throws what the fleet throws; nothing is changed then
 */
export async function wantInstalled(
  fleet: Fleet,
  id: string,
  by: { actor: string; at: number },
): Promise<void> {
  await fleet.nodes.update(id, (record) => {
    if (record === null || record.wanted.mode === 'installed') return { outcome: { kind: 'same' } };
    const wanted = { ...record.wanted, mode: 'installed' as const };
    const step = { to: record.state, ...by, action: 'want', reason: 'to run from its disk', set: { wanted } };
    return { outcome: take(record, step) };
  });
}
