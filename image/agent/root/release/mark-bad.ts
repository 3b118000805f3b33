/**
 * What `systemd-bless-boot bad` does (Boot Loader Specification, "Boot counting"): the remaining tries are removed
 * from the running image, so that the next start is the one before it. We do it ourselves for the reasons of
 * confirm.ts, and because systemd-bless-boot would mark an image bad also where nothing else is left.
 */

import type { LoaderFacts, MarkedBad } from '../../../../protocol/agent/disk.ts';
import { lastGood, readSlots, type Slot, slotName } from '../../../../protocol/agent/slots.ts';
import type { Rename } from './activate.ts';
import type { EspFiles } from './esp.ts';
import { tidy } from './place.ts';

export type MarkBadFacts = Pick<LoaderFacts, 'fromDisk' | 'counted'> & {
  /** Version that runs now (os-release). */
  running: string;
  /** It was reported healthy in this boot, whether or not its blessing reached the disk. */
  wasHealthy: boolean;
};

export type MarkBadPlan =
  | { kind: 'bad'; rename: Rename }
  | {
      kind: 'nothing';
      reason:
        | 'not on trial'
        | 'healthy before'
        | 'good'
        | 'not on disk'
        | 'no tries left'
        | 'no other is good';
    };

/**
 * Only an image whose boot was counted, and only while a good one is left: even somebody who refuses a whole fleet must
 * not make its disks unbootable. The name keeps the number of boots, by which a node that lost its records knows that
 * it failed.
 */
export function planMarkBad(slots: readonly Slot[], facts: MarkBadFacts): MarkBadPlan {
  if (!facts.fromDisk || facts.counted === null) return { kind: 'nothing', reason: 'not on trial' };
  if (facts.wasHealthy) return { kind: 'nothing', reason: 'healthy before' };
  const own = slots.filter(({ version }) => version === facts.running);
  if (own.some(({ state }) => state === 'good')) return { kind: 'nothing', reason: 'good' };
  const slot = own.find(({ file }) => file === facts.counted);
  if (slot === undefined) return { kind: 'nothing', reason: 'not on disk' };
  if (slot.state === 'failed') return { kind: 'nothing', reason: 'no tries left' };
  if (lastGood(slots) === null) return { kind: 'nothing', reason: 'no other is good' };
  const to = slotName(slot.version, { left: 0, done: slot.triesDone ?? 0 });
  return { kind: 'bad', rename: { from: slot.file, to } };
}

/** Can be done twice without harm. @throws BootwaveError `ESP_NAME_TAKEN` */
export async function markBad(esp: EspFiles, facts: MarkBadFacts): Promise<MarkedBad> {
  await tidy(esp);
  const plan = planMarkBad(readSlots(await esp.list()), facts);
  if (plan.kind === 'nothing') return { bad: null, reason: plan.reason };
  await esp.rename(plan.rename.from, plan.rename.to);
  return { bad: plan.rename.to, reason: '' };
}
