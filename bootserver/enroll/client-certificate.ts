import type { X509Certificate } from 'node:crypto';
import { BootwaveError } from '../../base/error.ts';
import { NODE_URI } from '../../protocol/enrolment/messages.ts';
import { issuerOf, type NodesTrust } from './trust.ts';

/** id-kp-clientAuth (RFC 5280 4.2.1.12). */
const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2';

export type ClientIdentity = {
  id: string;
  serial: string;
  /** Its certificate's CA is being replaced. */
  tainted: boolean;
};

/**
 * Who a TLS client is. TLS has proved that it holds the key; this decides whether a *nodes* CA issued the certificate
 * to a node: the fleet's other CAs have the same root and must not be accepted.
 * @param certificate the client's leaf, undefined when it sent none
 * @param now milliseconds since the epoch; checked at every request, because a connection may outlive a certificate
 * @throws BootwaveError `CERTIFICATE_MISSING`, `CERTIFICATE_FOREIGN`, `CERTIFICATE_CA_REVOKED`, `CERTIFICATE_EXPIRED`,
 * `CERTIFICATE_USAGE`
 */
export function clientIdentity(
  certificate: X509Certificate | undefined,
  trust: NodesTrust,
  now: number,
): ClientIdentity {
  if (certificate === undefined) throw refusal('CERTIFICATE_MISSING', 'no client certificate was shown');
  const issuer = issuerOf(certificate, trust);
  if (issuer === undefined) {
    throw refusal('CERTIFICATE_FOREIGN', 'the client certificate was not issued by a nodes CA of this fleet');
  }
  if (issuer.worth === 'revoked') {
    throw refusal('CERTIFICATE_CA_REVOKED', 'the CA that issued the client certificate was revoked');
  }
  if (now < certificate.validFromDate.getTime() || now >= certificate.validToDate.getTime()) {
    throw refusal('CERTIFICATE_EXPIRED', 'the client certificate is not valid at this time');
  }
  const uri = /^URI:(\S+)$/.exec(certificate.subjectAltName ?? '')?.[1];
  if (certificate.ca || !certificate.keyUsage?.includes(CLIENT_AUTH) || !uri?.startsWith(NODE_URI)) {
    throw refusal('CERTIFICATE_USAGE', 'the certificate is not a node certificate');
  }
  const tainted = issuer.worth === 'tainted';
  return { id: uri.slice(NODE_URI.length), serial: certificate.serialNumber.toLowerCase(), tainted };
}

function refusal(code: string, what: string): BootwaveError {
  return new BootwaveError({ code, what, unchanged: 'nothing was changed', next: 'enrol again' });
}
