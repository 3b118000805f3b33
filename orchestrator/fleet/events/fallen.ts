import type { Enrolment } from '../../../protocol/enrolment/messages.ts';
import type { Attested } from '../attestation.ts';
import { type Outcome, type Refusal, refuse, take } from '../outcome.ts';
import type { NodeRecord } from '../record.ts';
import type { Site } from '../site.ts';

/** What a quote shows, at an enrolment or later. */
export type Shown = Pick<
  Enrolment,
  'inventory' | 'running' | 'pcrs' | 'clock' | 'firmware' | 'address' | 'at'
>;

/** @returns why what this machine has booted keeps it out, null when nothing does */
export function mismeasured(
  e: Pick<Enrolment, 'pcrs'>,
  { site, attested }: { site: Site; attested: Attested },
): Refusal | null {
  if (site.policy.attestation === 'report' || e.pcrs === null || attested.state !== 'mismatch') return null;
  return refuse(
    'ENROL_MEASUREMENT',
    `what this machine has booted is not what the fleet knows: ${attested.reason}`,
    `if that is meant to be, publish the image or accept the firmware, or: bootwave site set ${site.name} --attestation report`,
  );
}

/**
 * A member that booted something else: it stays the member that it is, ill and without a certificate. Its keys on record
 * stay those of its last good boot, so that nothing is ever issued for the new ones.
 */
export function fallen(record: NodeRecord, e: Shown, c: { attested: Attested }): Outcome {
  const { observed, identity, inventory } = record;
  const { version: image, kernel, bootId } = e.running;
  // Who accepts its firmware wants to see which it says it is. That it boots by UEFI is not its own word to change.
  const sameKind = e.inventory.firmware.kind === inventory.firmware.kind;
  const { reason } = c.attested;
  if (
    observed.bootId === bootId &&
    observed.attested.reason === reason &&
    identity.certificateSerial === null
  )
    return { kind: 'same' };
  return take(record, {
    to: record.state === 'installing' || record.state === 'updating' ? record.state : 'degraded',
    at: e.at,
    actor: 'bootserver',
    action: 'attest',
    reason: `refused: ${reason}`,
    set: {
      observed: {
        ...observed,
        ...{ image, kernel, bootId, attested: c.attested, address: e.address },
        pcrs: e.pcrs === null ? null : { ...e.pcrs },
        clock: e.clock === null ? null : { ...e.clock },
        firmware: e.firmware,
        healthy: false,
        reason: `refused: ${reason}`.slice(0, 256),
      },
      identity: { ...identity, certificateSerial: null, previousSerial: null, notAfter: null },
      inventory: { ...inventory, firmware: sameKind ? e.inventory.firmware : inventory.firmware },
    },
  });
}
