import { BootwaveError } from '../../../../base/error.ts';
import { type Slot, slotName } from '../../../../protocol/agent/slots.ts';
import { menuOrder, nextBoot } from './choice.ts';

export type Rename = { from: string; to: string };

export type ActivatePlan =
  | { kind: 'running'; slot: Slot }
  /** Do the renames in this order, then restart. No renames when the next boot starts it anyway. */
  | { kind: 'restart'; slot: Slot; renames: readonly Rename[] };

export type ActivateFacts = {
  version: string;
  running: string;
  /** This boot came from the disk by systemd-boot. */
  fromDisk: boolean;
  /** LoaderEntryDefault or LoaderEntryOneShot, when the firmware holds one: somebody pinned an entry in the menu. */
  pinned: string | null;
};

/**
 * What makes the next boot start a version. A newer image that would win is demoted to `+0`: systemd-boot keeps it
 * behind everything else and still starts it when nothing else is left, so the fallback is never given up.
 * @throws BootwaveError `ACTIVATE_NOT_STAGED`, `ACTIVATE_FAILED_BEFORE`, `ACTIVATE_PINNED`
 */
export function planActivate(slots: readonly Slot[], facts: ActivateFacts): ActivatePlan {
  const own = menuOrder(slots.filter(({ version }) => version === facts.version));
  const slot = own[0];
  const refuse = (code: string, what: string, next: string) =>
    new BootwaveError({ code, what, unchanged: 'the node goes on as before', next });
  if (slot === undefined)
    throw refuse('ACTIVATE_NOT_STAGED', `image ${facts.version} is not on the disk`, 'stage it first');
  // An image to which systemd-boot fell back because nothing better was left keeps running; nothing else is demoted for
  // it.
  if (slot.state === 'failed' && facts.version === facts.running && facts.fromDisk)
    return { kind: 'running', slot };
  if (slot.state === 'failed')
    throw refuse(
      'ACTIVATE_FAILED_BEFORE',
      `image ${facts.version} has no boot attempts left`,
      'find out why it failed; an order that forgives it gives it new attempts when it is staged again',
    );
  if (facts.pinned !== null)
    throw refuse(
      'ACTIVATE_PINNED',
      `the firmware holds ${facts.pinned}, which makes systemd-boot ignore boot counting`,
      'delete that variable (bootctl set-default "")',
    );
  const renames = ahead(slots, slot).map(demotion);
  if (facts.version === facts.running && facts.fromDisk && renames.length === 0)
    return { kind: 'running', slot };
  return { kind: 'restart', slot, renames };
}

/** The rename that takes a blessed or trying image out of the choice. Its content is not touched. */
function demotion(slot: Slot): Rename {
  return { from: slot.file, to: slotName(slot.version, { left: 0 }) };
}

/**
 * What systemd-boot would start before `wanted`, newest last: after a power cut in between, the newest is still
 * started.
 */
function ahead(slots: readonly Slot[], wanted: Slot): Slot[] {
  const found: Slot[] = [];
  let rest = [...slots];
  for (;;) {
    const next = nextBoot(rest);
    if (next === null || next.version === wanted.version || next.state === 'failed') return found.reverse();
    found.push(next);
    rest = rest.filter((slot) => slot !== next);
  }
}
