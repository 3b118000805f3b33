/** The next step of an installation, as a pure function of what the fleet wants and what the node reports. */
import type { Status } from '../../protocol/link/messages.ts';
import type { NodeRecord } from '../fleet/record.ts';
import type { Issued } from '../orders/issued.ts';

/** Stored in the order record in place of a rollout's id. */
export const INSTALL = 'install';

export type InstallStep =
  /** Other code is responsible now, or nothing is left to do. */
  | { do: 'nothing' }
  /** Make the node write the ordered image to its disk. */
  | { do: 'stage' }
  /** The disk is bootable: tell the boot server before the node restarts into it. */
  | { do: 'record' }
  /** Restart into it. */
  | { do: 'activate' }
  /** It runs from its disk. */
  | { do: 'finish' };

/** Whether this node must be installed, and may be changed now. @param held a rollout has it */
export function wantsInstall(record: NodeRecord, held: boolean): boolean {
  if (held || record.wanted.mode !== 'installed') return false;
  if (record.state === 'installing') return true;
  return record.installedAt === null && (record.state === 'healthy' || record.state === 'degraded');
}

/**
 * Whether this node has to be told that it boots from the network: its firmware starts from its disk first. Our order
 * is sent again until this process has seen that the node accepted it.
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

/** Milliseconds of silence that firmware, a large disk and a first boot may need. */
export const LOST_AFTER = 30 * 60_000;

export function nextStep(record: NodeRecord, status: Status): InstallStep {
  if (status.state !== 'idle') return { do: 'nothing' };
  if (status.mode !== 'installed') return { do: 'stage' };
  if (record.installedAt === null) return { do: 'record' };
  return status.slots.some((slot) => slot.booted) ? { do: 'finish' } : { do: 'activate' };
}
