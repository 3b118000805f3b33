/** How well this node is, as far as it can tell by itself: what is said in heartbeats and over the link. */
import type { Status } from '../../../protocol/link/messages.ts';

export type Vitals = {
  /** The boot server took this machine's last heartbeat. */
  connected: boolean;
  /** What the agent waits for, when it is not connected. */
  notice: string;
  /** Units that systemd counts as failed; null before it was asked, or when it did not answer. */
  failedUnits: readonly string[] | null;
  /** Why the fleet refuses what this boot has started. */
  barred?: string;
  /** False: nobody listens where the orchestrator connects. Looked at only while an image is on trial. */
  link?: boolean;
};

export const UNKNOWN: Vitals = { connected: false, notice: 'the agent has just started', failedUnits: null };

export function healthOf({ connected, notice, failedUnits }: Vitals): Status['health'] {
  const reasons: string[] = [];
  if (failedUnits === null) reasons.push('systemd was not asked yet');
  else if (failedUnits.length > 0) reasons.push(`failed: ${failedUnits.join(', ')}`);
  if (!connected) reasons.push(`not connected: ${notice}`);
  return { healthy: reasons.length === 0, reason: plain(reasons.join('; ')) };
}

/** What an image has to show before it is blessed: one that no orchestrator reaches could never be taken back. */
export function trialHealth(vitals: Vitals): Status['health'] {
  const health = healthOf(vitals);
  if (!health.healthy || vitals.link !== false) return health;
  return { healthy: false, reason: 'sshd does not answer: no orchestrator could reach this node' };
}

/**
 * What a heartbeat says: it is its own proof of being connected, and a machine is not ill because systemd, busy with its
 * start, has not answered yet. For the blessing of an image that is not enough: see healthOf.
 */
export function beatHealth(vitals: Vitals): Status['health'] {
  return healthOf({ ...vitals, connected: true, failedUnits: vitals.failedUnits ?? [] });
}

/** As the protocols take it: one line, at most 256 characters. */
export function plain(text: string): string {
  return text
    .replace(/\p{Cc}+/gu, ' ')
    .slice(0, 256)
    .toWellFormed();
}
