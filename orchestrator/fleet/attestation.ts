import { z } from 'zod';
import type { Enrolment } from '../../bootserver/enroll/protocol.ts';

/**
 * What the fleet makes of the PCR values that a TPM quoted. Policy is to report it: no machine is refused for it.
 * `unknown`: there is nothing to hold them against.
 */
export const attestedSchema = z.object({ state: z.enum(['ok', 'mismatch', 'unknown']), reason: z.string() });
export type Attested = z.infer<typeof attestedSchema>;

/** What the quoted values are held against. */
export type References = {
  /** PCR 11 that the published image of the reported version measures, hex; null: no such image is published. */
  pcr11: string | null;
  /** PCR 7 that the first member of this model showed, hex; null: this is the first. */
  pcr7: string | null;
};

/** Machines of one model that run the same firmware keys show the same PCR 7 (TCG PC Client Firmware Profile, 3.3.4.8). */
export function modelOf({ inventory }: Pick<Enrolment, 'inventory'>): string {
  return `${inventory.manufacturer} ${inventory.product}`;
}

/** PCR 7 says which keys Secure Boot believes and which of them started the image; without Secure Boot it says nothing. */
export function pcr7Of(e: Pick<Enrolment, 'inventory' | 'pcrs'>): string | null {
  return e.inventory.secureBoot === 'on' ? (e.pcrs?.['7'] ?? null) : null;
}

export function attest(e: Enrolment, references: References): Attested {
  if (e.pcrs === null) return { state: 'unknown', reason: 'no TPM' };
  // systemd-stub measures the UKI it is part of; a kernel that the loader started by itself leaves PCR 11 empty.
  if (e.inventory.firmware.kind === 'bios') return { state: 'unknown', reason: 'BIOS measures no image' };
  const { version } = e.running;
  if (references.pcr11 === null) return { state: 'unknown', reason: `image ${version} is not published` };
  if (e.pcrs['11'] !== references.pcr11) {
    return {
      state: 'mismatch',
      reason: `PCR 11 is ${short(e.pcrs['11'])}, which image ${version} never has`,
    };
  }
  const pcr7 = pcr7Of(e);
  const model = modelOf(e);
  if (pcr7 === null) return { state: 'ok', reason: `image ${version} as published; Secure Boot is not on` };
  if (references.pcr7 === null) {
    return { state: 'ok', reason: `image ${version} as published; PCR 7 is the first of ${model}` };
  }
  if (pcr7 !== references.pcr7) {
    return {
      state: 'mismatch',
      reason: `PCR 7 is ${short(pcr7)}, the first ${model} had ${short(references.pcr7)}: other Secure Boot keys?`,
    };
  }
  return { state: 'ok', reason: `image ${version} as published, PCR 7 as the first ${model}` };
}

const short = (value: string | undefined): string => (value === undefined ? 'not shown' : value.slice(0, 16));
