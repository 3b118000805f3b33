/** How healthy this node is, as far as it can tell by itself: reported in heartbeats and over the link. */
import { flat } from '../../../base/line.ts';
import type { Status } from '../../../protocol/link/messages.ts';

export type Vitals = {
  /** The boot server accepted this machine's last heartbeat. */
  connected: boolean;
  /** What the agent waits for, when it is not connected. */
  notice: string;
  /** Units that systemd counts as failed; null before it was asked, or when it did not answer. */
  failedUnits: readonly string[] | null;
  /** Why the fleet refuses what this boot has started. */
  barred?: string;
  /** False: nothing listens where the orchestrator connects. Checked only while an image is on trial. */
  link?: boolean;
};

export const UNKNOWN: Vitals = { connected: false, notice: 'the agent has just started', failedUnits: null };

export function healthOf({ connected, notice, failedUnits }: Vitals): Status['health'] {
  const reasons: string[] = [];
  if (failedUnits === null) reasons.push('systemd was not asked yet');
  else if (failedUnits.length > 0) reasons.push(`failed: ${failedUnits.join(', ')}`);
  if (!connected) reasons.push(`not connected: ${notice}`);
  return { healthy: reasons.length === 0, reason: flat(reasons.join('; ')) };
}

/** What an image must show before it is blessed: an image that no orchestrator can reach could never be rolled back. */
export function trialHealth(vitals: Vitals): Status['health'] {
  const health = healthOf(vitals);
  if (!health.healthy || vitals.link !== false) return health;
  return { healthy: false, reason: 'sshd does not answer: no orchestrator could reach this node' };
}

/**
 * What a heartbeat reports. The heartbeat itself proves the connection, and a machine is not unhealthy because systemd,
 * busy with its start, has not answered yet. For the blessing of an image that is not enough: see healthOf.
 */
export function beatHealth(vitals: Vitals): Status['health'] {
  return healthOf({ ...vitals, connected: true, failedUnits: vitals.failedUnits ?? [] });
}
