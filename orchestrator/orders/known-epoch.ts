import type { Status } from '../../protocol/link/messages.ts';

/** The highest epoch that a node holds against orders: of the order in force, or remembered by its TPM when its disk is new. */
export function knownEpoch({ order, guard }: Pick<Status, 'order' | 'guard'>): number {
  return Math.max(order?.epoch ?? 0, guard?.epoch ?? 0);
}
