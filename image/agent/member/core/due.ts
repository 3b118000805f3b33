/** When a certificate is renewed and the next attestation is due, by the clock of this machine. */
import { type Moment, PACE, type State } from './state.ts';

/** Of the life of a certificate: so much of it may lie before the moment in which it was issued (bootserver, certifier.ts). */
const BACKDATED = 1 / 10;

/**
 * A certificate that has just come is new. A clock that says otherwise is wrong, and would have it renewed at every heartbeat, or
 * never: its life is then counted from now on.
 */
function byThisClock(
  { notBefore, notAfter }: { notBefore: number; notAfter: number },
  { now }: Moment,
): { notBefore: number; notAfter: number } {
  const life = notAfter - notBefore;
  if (now >= notBefore && now <= notBefore + 2 * BACKDATED * life) return { notBefore, notAfter };
  const skew = now - (notBefore + BACKDATED * life);
  return { notBefore: notBefore + skew, notAfter: notAfter + skew };
}

/** Each node chooses its own time in that part of the life in which certificates are renewed. */
export function newCertificate(
  issued: { notBefore: number; notAfter: number },
  moment: Moment,
): { notAfter: number; renewAt: number } {
  const { notBefore, notAfter } = byThisClock(issued, moment);
  const { first, last } = PACE.renew;
  const part = first + (last - first) * moment.random;
  return { notAfter, renewAt: Math.round(notBefore + (notAfter - notBefore) * part) };
}

/** Once for each certificate: every node of the fleet is asked at the same time, and each chooses its own. */
export function sooner(
  certificate: State['certificate'],
  renew: number | undefined,
  { now, random }: Moment,
) {
  if (certificate === null || renew === undefined || certificate.asked === true) return certificate;
  const renewAt = Math.min(certificate.renewAt, Math.round(now + random * renew * 1000));
  return { ...certificate, renewAt, asked: true };
}

/** A chosen time stays, unless the server now asks for an attestation sooner. */
export function nextAttestation(chosen: number | null, every: number, { now, random }: Moment): number {
  if (chosen !== null && chosen <= now + every * 1.2) return chosen;
  return now + every * (0.8 + random * 0.4);
}
