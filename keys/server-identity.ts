import { X509Certificate } from 'node:crypto';
import { checkServerIdentity, type DetailedPeerCertificate } from 'node:tls';
import { BootwaveError } from '../base/error.ts';
import { SERVER_NAME } from '../protocol/enrolment/messages.ts';

/** The common name of the only CA whose certificates make a boot server; keys/ gives it this name. */
const SERVERS_CA = 'CN=Bootwave servers CA';
/** id-kp-serverAuth (RFC 5280 4.2.1.12). */
const SERVER_AUTH = '1.3.6.1.5.5.7.3.1';

/**
 * Judges a peer whose chain OpenSSL has already verified up to the fleet's root. That alone would let any node, whose
 * certificate hangs below the same root, play boot server.
 * @returns what is wrong, `SERVER_NOT_TRUSTED`; undefined when it is a boot server of this fleet
 */
export function checkBootServer(
  peer: DetailedPeerCertificate,
  root: X509Certificate,
): BootwaveError | undefined {
  const refuse = (what: string, cause?: unknown) =>
    new BootwaveError({
      code: 'SERVER_NOT_TRUSTED',
      what: `the boot server ${what}`,
      unchanged: 'nothing was sent to it',
      cause,
    });
  const leaf = new X509Certificate(peer.raw);
  const issuer = peer.issuerCertificate?.raw && new X509Certificate(peer.issuerCertificate.raw);
  // Without the extension a certificate may be used for anything (RFC 5280 4.2.1.12); ours must have it.
  if (leaf.ca || !leaf.keyUsage?.includes(SERVER_AUTH))
    return refuse('shows a certificate that is not for servers');
  const misnamed = checkServerIdentity(SERVER_NAME, peer);
  if (misnamed !== undefined) return refuse(`is not called ${SERVER_NAME}`, misnamed);
  if (!issuer || !leaf.checkIssued(issuer) || !leaf.verify(issuer.publicKey)) {
    return refuse('does not show who issued its certificate');
  }
  if (!issuer.ca || !issuer.checkIssued(root) || !issuer.verify(root.publicKey)) {
    return refuse('shows a chain that does not end directly below the root of this fleet');
  }
  if (!issuer.subject.split('\n').includes(SERVERS_CA)) {
    return refuse('shows a certificate that another CA of the fleet issued: it is a node or an operator');
  }
  return undefined;
}
