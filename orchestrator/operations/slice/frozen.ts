/** What is frozen is evidence of what it did: its owner must not be the one who ends it. */
import { refusal } from '../../../base/error.ts';
import { parseInstanceVersion, shownName } from '../../../protocol/service/name.ts';
import type { Slice } from '../../fleet/decisions/slices.ts';
import type { Acting } from '../operation.ts';

/**
 * @param stays names of instances of which all that is kept stays
 * @throws BootwaveError `SLICE_FROZEN` an owner would end an instance that is frozen on one of its nodes
 */
export async function mustLeaveFrozen(
  { nodes, services }: Pick<Slice, 'nodes' | 'services'>,
  stays: readonly string[],
  { fleet, identity }: Pick<Acting, 'fleet' | 'identity'>,
): Promise<void> {
  if (identity.role !== 'slice-owner') return;
  await fleet.decisions.look();
  const names = services.flatMap((one) => parseInstanceVersion(one)?.name ?? []);
  const ends = names.filter((name) => !stays.includes(name));
  const words = nodes.flatMap((node) => fleet.decisions.restraints.on(node, ends));
  const frozen = words.find(({ how }) => how === 'freeze');
  if (frozen === undefined) return;
  throw refusal(
    'SLICE_FROZEN',
    `${shownName(frozen.name)} is frozen: what it has in memory and keeps would be gone`,
    'ask the core team: they end it, or let it go',
  );
}
