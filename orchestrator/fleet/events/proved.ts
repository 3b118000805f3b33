/** What a machine that has proved possession of its keys shows, as its record has it. */
import type { Enrolment } from '../../../protocol/enrolment/enrolment.ts';
import type { Attested } from '../attestation.ts';
import type { Mark, NodeRecord } from '../record.ts';
import type { Site } from '../site.ts';

type Context = { site: Site; attested: Attested; conflicts: readonly string[] };

/** All that a proof shows; the certificate of older keys ends with them. */
export function facts(e: Enrolment, c: Context) {
  return {
    site: c.site.name,
    observed: {
      image: e.running.version,
      kernel: e.running.kernel,
      bootId: e.running.bootId,
      pcrs: e.pcrs === null ? null : { ...e.pcrs },
      attested: c.attested,
      clock: e.clock === null ? null : { ...e.clock },
      firmware: e.firmware,
      secureBoot: e.inventory.secureBoot,
      address: e.address,
      healthy: null,
      smart: null,
      reason: '',
      lastAttestedAt: e.at,
    },
    identity: {
      ekDigest: e.ekDigest,
      akName: e.akName,
      ekCertificate: e.ekCertificate === null ? null : { ...e.ekCertificate },
      hostKey: e.hostKey,
      spkiDigest: e.spkiDigest,
      certificateSerial: null,
      previousSerial: null,
      notAfter: null,
      issuer: null,
      previousIssuer: null,
    },
    inventory: e.inventory,
    words: [...e.words],
    marks: marksOf(e, c),
  };
}

function marksOf(e: Enrolment, { conflicts }: Pick<Context, 'conflicts'>): Mark[] {
  const marks: Mark[] = [];
  if (e.ekDigest === null) marks.push('no-tpm');
  if (e.inventory.firmware.kind === 'bios') marks.push('bios');
  else if (e.inventory.secureBoot !== 'on') marks.push('no-secure-boot');
  if (conflicts.length > 0) marks.push('mac-conflict');
  if (e.ekCertificate?.verified === false) marks.push('ek-unverified');
  return marks;
}

export function sameKey(record: NodeRecord, e: Enrolment): boolean {
  return record.identity.spkiDigest === e.spkiDigest && record.identity.hostKey === e.hostKey;
}

/** The words are new with every session: these mean that the same request came twice. */
export function sameSession(record: NodeRecord, e: Enrolment): boolean {
  return sameKey(record, e) && record.words.join() === e.words.join();
}
