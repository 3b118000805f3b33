import type { Enrolment } from '../../../protocol/enrolment/enrolment.ts';
import type { Attested } from '../attestation.ts';
import { type Outcome, type Refusal, refuse, take } from '../outcome.ts';
import type { NodeRecord } from '../record.ts';
import type { Site } from '../site.ts';

/** What a quote shows, at an enrolment or later. */
export type Shown = Pick<
  Enrolment,
  'inventory' | 'running' | 'pcrs' | 'clock' | 'firmware' | 'address' | 'at'
>;

/** @returns why this machine is kept out for what it has booted, null when it is not */
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
 * Whether the image that it runs keeps it out: a newcomer, and a member when it enrols again, also to renew its
 * certificate. Between two enrolments it is only shown, which gives a rollout the time to update it.
 * @returns why; null: it does not
 */
export function outdated({ site, unfit }: { site: Site; unfit: string | null }): Refusal | null {
  if (unfit === null || site.policy.image === 'report') return null;
  return refuse(
    'ENROL_IMAGE',
    `what this machine runs is not to run any more: ${unfit}`,
    `restart it from the network, or bring it a newer image; to let it in as it is: bootwave site set ${site.name} --image report`,
  );
}

/**
 * A member that booted something else: it stays a member, but unhealthy and without a certificate. The keys on record
 * stay those of its last good boot, so that nothing is ever issued for the new ones.
 */
export function fallen(record: NodeRecord, e: Shown, c: { attested: Attested }): Outcome {
  const { observed, identity, inventory } = record;
  const { version: image, kernel, bootId } = e.running;
  // A person who accepts its firmware wants to see which one it reports. Whether it boots by UEFI is not for the
  // machine to change.
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
