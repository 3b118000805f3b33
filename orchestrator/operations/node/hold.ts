import { heldWhy } from '../../fleet/events/hold.ts';
import type { NodeRecord } from '../../fleet/record.ts';
import type { Acting } from '../operation.ts';
import { leaveOut } from './leave-out.ts';

export async function hold(
  { node, reason, until }: { node: string; reason: string; until?: number | undefined },
  acting: Acting,
): Promise<{ record: NodeRecord; busy: string[] }> {
  const { fleet, by } = acting;
  const record = await fleet.hold(node, reason, until ?? null, by);
  const why = heldWhy(record, by.at) ?? reason;
  return { record, busy: await leaveOut(acting, record, why, () => true) };
}

export const unhold = ({ node }: { node: string }, { fleet, by }: Acting): Promise<NodeRecord> =>
  fleet.unhold(node, by);
