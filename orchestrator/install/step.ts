/** What an installation does next, as a pure function of what the fleet wants and what the node says. */
import type { Status } from '../../protocol/link/messages.ts';
import type { NodeRecord } from '../fleet/record.ts';
import type { Issued } from '../orders/issued.ts';

/** In the order record, where a rollout's id would stand. */
export const INSTALL = 'install';

export type InstallStep =
  /** Somebody else's business now, or nothing is left to do. */
  | { do: 'nothing' }
  /** Have the ordered image brought onto the disk. */
  | { do: 'stage' }
  /** The disk is bootable: say so to the boot server before the node restarts into it. */
  | { do: 'record' }
  /** Restart into it. */
  | { do: 'activate' }
  /** It runs from its disk. */
  | { do: 'finish' };

/** Whether this node is to be installed, and may be touched now. @param held a rollout has it */
export function wantsInstall(record: NodeRecord, held: boolean): boolean {
  if (held || record.wanted.mode !== 'installed') return false;
  if (record.state === 'installing') return true;
  return record.installedAt === null && (record.state === 'healthy' || record.state === 'degraded');
}

/**
 * Whether this node has to be told that it boots from the network: its firmware starts from its disk first. An order of ours
 * that says so is sent again until this process has seen it taken.
 * @param issued the order in force, and who issued it
 * @param held a rollout has it
 */
export function leavesDisk(
  { wanted, state }: Pick<NodeRecord, 'wanted' | 'state'>,
  issued: (Pick<Issued, 'rollout'> & { order: Pick<Issued['order'], 'mode'> }) | undefined,
  held: boolean,
): boolean {
  const isHere = state === 'healthy' || state === 'degraded';
  if (held || !isHere || wanted.mode !== 'netboot' || issued === undefined) return false;
  return issued.order.mode === 'installed' || issued.rollout === INSTALL;
}

/** Milliseconds of silence in which firmware, a large disk and a first boot may pass. */
export const LOST_AFTER = 30 * 60_000;

export function nextStep(record: NodeRecord, status: Status): InstallStep {
  if (status.state !== 'idle') return { do: 'nothing' };
  if (status.mode !== 'installed') return { do: 'stage' };
  if (record.installedAt === null) return { do: 'record' };
  return status.slots.some((slot) => slot.booted) ? { do: 'finish' } : { do: 'activate' };
}
