/**
 * Blessing is the rename that systemd-bless-boot does: the counter goes, and the image is good. We do it ourselves
 * because systemd-bless-boot wants the ESP mounted at /efi or /boot, knows nothing of a file that two names share after
 * a power cut, and would bless whatever LoaderBootCountPath names even when that is not the image that runs.
 */

import { lastGood, type Slot, slotName } from '../../../../protocol/agent/slots.ts';
import type { Rename } from './activate.ts';

export type ConfirmFacts = {
  /** Version that runs now (os-release). */
  running: string;
  /** This boot came from the disk by systemd-boot. */
  fromDisk: boolean;
  /** The agent is a member and every health check passes. */
  healthy: boolean;
};

export type ConfirmPlan =
  | { kind: 'bless'; version: string; rename: Rename }
  | { kind: 'nothing'; reason: 'not from disk' | 'not healthy' | 'blessed already' | 'not on disk' };

export function planConfirm(slots: readonly Slot[], facts: ConfirmFacts): ConfirmPlan {
  if (!facts.fromDisk) return { kind: 'nothing', reason: 'not from disk' };
  if (!facts.healthy) return { kind: 'nothing', reason: 'not healthy' };
  const own = slots.filter(({ version }) => version === facts.running);
  if (own.some(({ state }) => state === 'good')) return { kind: 'nothing', reason: 'blessed already' };
  // A demoted image that systemd-boot fell back to stays demoted, unless nothing else is left to fall back to.
  const fallback = lastGood(slots) === null ? own[0] : undefined;
  const counted = own.find(({ state }) => state === 'trying') ?? own.find(lastTry) ?? fallback;
  if (counted === undefined) return { kind: 'nothing', reason: 'not on disk' };
  return {
    kind: 'bless',
    version: counted.version,
    rename: { from: counted.file, to: slotName(counted.version, null) },
  };
}

/**
 * The third boot of a new image runs as `+0-3`; a demoted image was never started under a counted name, so it has fewer
 * boots.
 */
function lastTry(slot: Slot): boolean {
  return slot.state === 'failed' && (slot.triesDone ?? 0) > 0;
}
