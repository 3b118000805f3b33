import { z } from 'zod';
import { loaderPcr12 } from '../../formats/pe/measured-sections.ts';
import type { Enrolment } from '../../protocol/enrolment/enrolment.ts';
import { type KnownFirmware, strangeFirmware, UNTOUCHED } from './firmware/verdict.ts';

/**
 * The verdict on the PCR values that a TPM quoted. `mismatch`: the machine runs something else than a published
 * image; it is kept out if the site enforces attestation. `differs`: the image is a published one, on firmware that is
 * not as expected; a person should look. `unknown`: the machine cannot measure what it boots.
 */
export const attestedSchema = z.object({
  state: z.enum(['ok', 'differs', 'mismatch', 'unknown']),
  reason: z.string(),
});
export type Attested = z.infer<typeof attestedSchema>;

/** What is judged: a machine, the image that it reports, and what its TPM and its firmware show about that. */
export type Measured = Pick<Enrolment, 'inventory' | 'running' | 'pcrs' | 'firmware'>;

/** What the quoted values are compared with. */
export type References = {
  /** PCR 11 that the published image of the reported version measures, hex; null: no such image is published. */
  pcr11: string | null;
  /** The command line inside that image; null: not known. */
  commandLine: string | null;
  /** Values of PCR 7 that members of this model have shown with an event log, hex. */
  pcr7: readonly string[];
  firmware: KnownFirmware;
  /** Why no machine may run this image any more; null: it may. */
  unfit: string | null;
  /**
   * Whether the record says that this machine boots by UEFI: otherwise only the machine itself could claim that it does
   * not.
   */
  uefi: boolean;
  /**
   * Whether this member had Secure Boot on when it was last let in: with Secure Boot off a machine can measure whatever
   * it likes.
   */
  secureBoot: boolean;
};

/** Machines of one model that run the same firmware keys show the same PCR 7 (TCG PC Client Firmware Profile, 3.3.4.8). */
export function modelOf({ inventory }: Pick<Enrolment, 'inventory'>): string {
  return `${inventory.manufacturer} ${inventory.product}`;
}

/**
 * PCR 7 shows which keys Secure Boot trusts and which of them started the image; without Secure Boot it shows nothing.
 */
export function pcr7Of(e: Pick<Enrolment, 'inventory' | 'pcrs'>): string | null {
  return e.inventory.secureBoot === 'on' ? (e.pcrs?.['7'] ?? null) : null;
}

/**
 * systemd-stub measures kernel command lines, credentials and configuration extensions from outside of the image into
 * PCR 12, system extensions into PCR 13 (systemd-stub(7)). No Bootwave image is given any; only systemd-boot, which
 * starts images from disks, hands an image its own command line and measures that.
 */
function fromOutside({ pcrs }: Measured, commandLine: string | null): string | null {
  const known = [UNTOUCHED, ...(commandLine === null ? [] : [loaderPcr12(commandLine)])];
  if (!known.includes(pcrs?.['12'] ?? '')) {
    return `PCR 12 is ${short(pcrs?.['12'])}: a command line, credentials or configuration from outside were added to it`;
  }
  if (pcrs?.['13'] === UNTOUCHED) return null;
  return `PCR 13 is ${short(pcrs?.['13'])}: a system extension was added to it`;
}

export function attest(e: Measured, references: References): Attested {
  if (e.pcrs === null) return { state: 'unknown', reason: 'no TPM' };
  // systemd-stub measures the UKI it is part of; a kernel that the loader started by itself leaves PCR 11 empty.
  if (e.inventory.firmware.kind === 'bios') {
    return references.uefi
      ? { state: 'mismatch', reason: 'it booted by UEFI before and now reports a BIOS' }
      : { state: 'unknown', reason: 'BIOS measures no image' };
  }
  const { version } = e.running;
  if (references.secureBoot && !isSecure(e)) {
    return {
      state: 'mismatch',
      reason:
        'Secure Boot was on and is not any more; if somebody meant that, retire the node and expect it anew',
    };
  }
  if (references.pcr11 === null) return { state: 'mismatch', reason: `image ${version} is not published` };
  if (e.pcrs['11'] !== references.pcr11) {
    return {
      state: 'mismatch',
      reason: `PCR 11 is ${short(e.pcrs['11'])}, which image ${version} never has`,
    };
  }
  const added = fromOutside(e, references.commandLine);
  if (added !== null) return { state: 'mismatch', reason: added };
  const keys = keysOf(e, references);
  const strange = strangeFirmware(e.pcrs, references.firmware);
  if (strange === null || keys.state === 'mismatch')
    return references.unfit === null || keys.state !== 'ok'
      ? keys
      : { state: 'differs', reason: references.unfit };
  return { state: references.firmware.policy === 'enforce' ? 'mismatch' : 'differs', reason: strange };
}

/** By the log, if there is one; else by what the machine reports, which PCR 7 then has to confirm. */
export const isSecure = ({ firmware, inventory }: Pick<Measured, 'firmware' | 'inventory'>): boolean =>
  firmware?.secureBoot ?? inventory.secureBoot === 'on';

/** The image is a published one: which Secure Boot keys let it run? */
function keysOf(e: Measured, { pcr7: shown, firmware: { model } }: References): Attested {
  const published = `image ${e.running.version} as published`;
  const isSaidOn = e.inventory.secureBoot === 'on';
  if (e.firmware !== null) {
    const { secureBoot, foreign, retired } = e.firmware;
    if (isSaidOn && !secureBoot) {
      return {
        state: 'mismatch',
        reason: 'it says that Secure Boot is on, its event log says that it is not',
      };
    }
    if (secureBoot && foreign.length > 0) {
      return { state: 'mismatch', reason: `Secure Boot is on, but ${foreign.join(', ')}`.slice(0, 256) };
    }
    // No mismatch: the machine is not kept out, so that the image that changes its db can still reach it.
    if (secureBoot && retired !== undefined)
      return { state: 'differs', reason: `${published}, but ${retired.join(', ')}`.slice(0, 256) };
    return {
      state: 'ok',
      reason: `${published}${secureBoot ? ", Secure Boot with the fleet's keys" : '; Secure Boot is not on'}`,
    };
  }
  const pcr7 = pcr7Of(e);
  if (pcr7 === null) return { state: 'ok', reason: `${published}; Secure Boot is not on` };
  // Equal values mean equal keys, so what one machine has proved by its log also holds for a machine without a log.
  if (shown.includes(pcr7)) return { state: 'ok', reason: `${published}, PCR 7 as another ${model}` };
  if (shown.length === 0) {
    return { state: 'differs', reason: `${published}; it shows no event log, and is the first ${model}` };
  }
  return {
    state: 'mismatch',
    reason: `PCR 7 is ${short(pcr7)}, which no ${model} has shown, and no event log says why`,
  };
}

const short = (value: string | undefined): string => (value === undefined ? 'not shown' : value.slice(0, 16));
