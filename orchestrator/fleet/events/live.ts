import { isDeepStrictEqual } from 'node:util';
import type { IssuedCertificate } from '../../../bootserver/directory.ts';
import type { Heartbeat } from '../../../protocol/enrolment/heartbeat.ts';
import type { Attested } from '../attestation.ts';
import { type Outcome, refuse, take } from '../outcome.ts';
import type { NodeRecord } from '../record.ts';
import { isMember, type State, WATCHED } from '../transitions.ts';

/** A certificate is about to be handed to a member, for the key that it last proved. */
export function certified(record: NodeRecord, certificate: IssuedCertificate, at: number): Outcome {
  if (!isMember(record.state)) {
    return refuse('CERTIFICATE_NOT_MEMBER', `node ${record.name} is ${record.state} and gets no certificate`);
  }
  if (record.identity.spkiDigest !== certificate.spkiDigest) {
    return refuse(
      'CERTIFICATE_OLD_KEY',
      `the certificate for ${record.name} is for a key that a newer enrolment replaced`,
    );
  }
  if (record.identity.certificateSerial === certificate.serial) return { kind: 'same' };
  return take(record, {
    to: record.state,
    at,
    actor: 'bootserver',
    action: 'certify',
    reason: `certificate issued, valid until ${new Date(certificate.notAfter).toISOString()}`,
    detail: { serial: certificate.serial },
    set: {
      identity: {
        ...record.identity,
        // A certificate that was never used is not worth keeping: the node may not even have it.
        previousSerial: record.identity.previousSerial ?? record.identity.certificateSerial,
        previousIssuer:
          record.identity.previousSerial === null ? record.identity.issuer : record.identity.previousIssuer,
        certificateSerial: certificate.serial,
        notAfter: certificate.notAfter,
        issuer: certificate.issuer ?? null,
      },
    },
  });
}

/** Another good quote. That alone is no news; a changed verdict may be. */
export function proven(record: NodeRecord, attested: Attested, at: number): Outcome {
  const { observed, marks } = record;
  const isStale = marks.includes('attestation-stale');
  const before = observed.attested;
  if (before.state === attested.state && before.reason === attested.reason && !isStale)
    return { kind: 'same' };
  return take(record, {
    to: record.state,
    at,
    actor: 'bootserver',
    action: 'attest',
    reason: isStale ? `attested again: ${attested.reason}` : attested.reason,
    set: {
      observed: { ...observed, attested, lastAttestedAt: at },
      marks: marks.filter((mark) => mark !== 'attestation-stale'),
    },
  });
}

/** Its attestation is long overdue: a person is told once. */
export function unattested(record: NodeRecord, late: { minutes: number; at: number }): Outcome {
  const { marks, identity } = record;
  if (!isMember(record.state) || identity.ekDigest === null || marks.includes('attestation-stale'))
    return { kind: 'same' };
  return take(record, {
    to: record.state,
    at: late.at,
    actor: 'sweeper',
    action: 'attest',
    reason: `not attested for ${late.minutes} min`,
    set: { marks: [...marks, 'attestation-stale'] },
  });
}

/** @returns refused with `HEARTBEAT_STALE` when the certificate is not the node's current one */
export function heartbeat(record: NodeRecord, serial: string, beat: Heartbeat, at: number): Outcome {
  const { certificateSerial, previousSerial } = record.identity;
  if (!isMember(record.state) || (certificateSerial !== serial && previousSerial !== serial)) {
    return refuse('HEARTBEAT_STALE', `the certificate ${serial} is not the current one of ${record.name}`);
  }
  const to = stateAfter(record.state, beat.healthy);
  const { observed } = record;
  const observedNow = {
    ...observed,
    image: beat.running.version,
    kernel: beat.running.kernel,
    bootId: beat.running.bootId,
    healthy: beat.healthy,
    reason: beat.healthy ? '' : beat.reason,
    smart: beat.hardware?.smart ?? null,
  };
  const changed = (['image', 'kernel', 'bootId', 'healthy', 'reason', 'smart'] as const).some(
    (field) => !isDeepStrictEqual(observed[field], observedNow[field]),
  );
  const renewed = serial === certificateSerial && previousSerial !== null;
  if (to === record.state && !changed && !renewed) return { kind: 'same' };
  return take(record, {
    to,
    at,
    actor: 'node',
    action: 'heartbeat',
    reason: beat.healthy
      ? said(record.state, changed)
      : beat.reason || 'the node says that it is not healthy',
    set: {
      observed: observedNow,
      ...(renewed ? { identity: { ...record.identity, previousSerial: null, previousIssuer: null } } : {}),
    },
  });
}

function stateAfter(state: State, healthy: boolean): State {
  // The installer or rollout decides when installing or updating is over, not the node's agent.
  if (state === 'installing' || state === 'updating') return state;
  return healthy ? 'healthy' : 'degraded';
}

function said(state: State, changed: boolean): string {
  if (state === 'unreachable') return 'heard from again';
  if (state === 'degraded') return 'the node says that it is healthy again';
  if (state === 'enrolled') return 'first heartbeat';
  return changed ? 'the node reports a change' : 'the node uses its new certificate';
}

/** No heartbeat for too long. */
export function lost(record: NodeRecord, silence: { seconds: number; at: number }): Outcome {
  if (!WATCHED.includes(record.state)) return { kind: 'same' };
  return take(record, {
    to: 'unreachable',
    at: silence.at,
    actor: 'sweeper',
    action: 'lost',
    reason: `no heartbeat for ${silence.seconds} s`,
  });
}
