import { z } from 'zod';
import type { BootEvent, BootStep } from '../../bootserver/directory.ts';

/** A machine as it appears on the wire, by MAC: nothing about it is proved, all of it is forgotten after a while. */
export const machineSchema = z.object({
  mac: z.string(),
  uuid: z.string().nullable(),
  arch: z.string().nullable(),
  site: z.string(),
  /** Milliseconds since the epoch. */
  firstSeen: z.number(),
  lastSeen: z.number(),
  /** Its last step that shows how far it came, and when. */
  step: z.string(),
  stepAt: z.number(),
  detail: z.string(),
});
export type Machine = z.infer<typeof machineSchema>;

/** The machine after one more sighting. */
export function sighted(before: Machine | null, event: BootEvent, site: string): Machine {
  return {
    mac: event.mac,
    uuid: event.uuid ?? before?.uuid ?? null,
    arch: event.arch ?? before?.arch ?? null,
    site,
    firstSeen: before?.firstSeen ?? event.at,
    lastSeen: event.at,
    step: event.step,
    stepAt: event.at,
    detail: (event.detail ?? '').slice(0, 256),
  };
}

/** Milliseconds after which a machine that took its image should have enrolled. */
const STUCK_AFTER = 5 * 60_000;

const FIRMWARE_REFUSED =
  'the firmware may have refused it (Secure Boot): was the file tampered with, is it signed by another fleet, does this machine hold other Secure Boot keys?';

/**
 * The steps after which a silent machine counts as stuck, and what to check. After other steps it need not come back to
 * us.
 */
const CHECKS: Partial<Record<BootStep, string>> = {
  'loader-sent': `the boot loader was sent and never asked for its script: ${FIRMWARE_REFUSED}`,
  'script-sent':
    'the boot loader got its script and never asked for the image: can the machine reach the HTTP port of the boot server?',
  'image-started':
    'the image was begun and not finished: check the cable, the switch port and the memory of the machine',
  'image-sent': `the image was sent whole and never enrolled: ${FIRMWARE_REFUSED} If its console shows Linux, does it reach the HTTPS port of the boot server?`,
};

export type Stuck = { since: number; step: string; check: string };

/**
 * Whether a machine is stuck booting.
 * @param enrolledAt when it last enrolled, null if never
 * @param after milliseconds
 */
export function stuck(
  machine: Machine,
  enrolledAt: number | null,
  now: number,
  after: number = STUCK_AFTER,
): Stuck | null {
  const check = CHECKS[machine.step as BootStep];
  if (check === undefined || now - machine.stepAt < after) return null;
  if (enrolledAt !== null && enrolledAt >= machine.stepAt) return null;
  return { since: machine.stepAt, step: machine.step, check };
}
