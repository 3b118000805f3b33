import type { Status } from '../../protocol/link/messages.ts';
import type { Fleet } from '../fleet/fleet.ts';
import type { OrderSigner } from './order-signer.ts';

/**
 * A node that had orders before, but whose TPM remembers none: people should know, because somebody was at the machine.
 * Call it before the next order, which the TPM will remember again.
 * @param next epoch of that order
 */
export async function noteEmptyMemory(
  { fleet, signer, now = Date.now }: { fleet: Fleet; signer: OrderSigner; now?: () => number },
  node: string,
  { guard }: Pick<Status, 'guard'>,
  next = Number.POSITIVE_INFINITY,
): Promise<void> {
  if (guard?.memory !== 'empty') return;
  const { epoch } = await signer.standing(node);
  // If it was signed but not delivered, it is the next order itself.
  if (epoch === 0 || epoch >= next) return;
  const reason =
    `its TPM remembers no order, though epoch ${epoch} was signed for it: it was cleared, or an older image ran until ` +
    'now; up to the next order it could be given an old one that has not expired';
  await fleet.audit.append({ at: now(), actor: 'orchestrator', node, action: 'tpm-empty', reason });
}

/** The highest epoch that a node holds against orders: of the order in force, or remembered by its TPM when its disk is new. */
export function knownEpoch({ order, guard }: Pick<Status, 'order' | 'guard'>): number {
  return Math.max(order?.epoch ?? 0, guard?.epoch ?? 0);
}
