import type { X509Certificate } from 'node:crypto';
import { BootwaveError } from '../../base/error.ts';
import { NODE_URI } from './protocol.ts';

/** id-kp-clientAuth (RFC 5280 4.2.1.12). */
const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2';

export type ClientIdentity = { id: string; serial: string };

/**
 * Who a TLS client is. TLS has proved that it holds the key; this decides whether the certificate is one that the
 * *nodes* CA gave to a node: the fleet's other CAs hang below the same root and must not pass.
 * @param certificate the client's leaf, undefined when it sent none
 * @param now milliseconds since the epoch; checked at every request, because a connection may outlive a certificate
 * @throws BootwaveError `CERTIFICATE_MISSING`, `CERTIFICATE_FOREIGN`, `CERTIFICATE_EXPIRED`, `CERTIFICATE_USAGE`
 */
export function clientIdentity(
  certificate: X509Certificate | undefined,
  nodesCa: X509Certificate,
  now: number,
): ClientIdentity {
  if (certificate === undefined) throw refusal('CERTIFICATE_MISSING', 'no client certificate was shown');
  if (!certificate.checkIssued(nodesCa) || !certificate.verify(nodesCa.publicKey)) {
    throw refusal(
      'CERTIFICATE_FOREIGN',
      'the client certificate was not issued by the nodes CA of this fleet',
    );
  }
  if (now < certificate.validFromDate.getTime() || now >= certificate.validToDate.getTime()) {
    throw refusal('CERTIFICATE_EXPIRED', 'the client certificate is not valid at this time');
  }
  const uri = /^URI:(\S+)$/.exec(certificate.subjectAltName ?? '')?.[1];
  if (certificate.ca || !certificate.keyUsage?.includes(CLIENT_AUTH) || !uri?.startsWith(NODE_URI)) {
    throw refusal('CERTIFICATE_USAGE', 'the certificate is not a node certificate');
  }
  return { id: uri.slice(NODE_URI.length), serial: certificate.serialNumber.toLowerCase() };
}

function refusal(code: string, what: string): BootwaveError {
  return new BootwaveError({ code, what, unchanged: 'nothing was changed', next: 'enrol again' });
}
