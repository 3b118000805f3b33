/** Which key speaks for a boot server of this fleet, by a chain of certificates that came with what it signed. */
import { type KeyObject, X509Certificate } from 'node:crypto';
import type { BootwaveError } from '../../../base/error.ts';
import { checkBootServer } from '../../../keys/server-identity.ts';

/**
 * @param chain PEM: the server's certificate, then the servers CA
 * @param at moment at which all of them must hold, milliseconds since the epoch
 * @param refuse makes the error for what is not a chain, or for a chain that does not hold at that time
 * @throws BootwaveError of `refuse`; `SERVER_NOT_TRUSTED`
 */
export function bootServerKey(
  chain: string,
  rootPem: string,
  at: number,
  refuse: (what: string, cause?: unknown) => BootwaveError,
): KeyObject {
  const root = new X509Certificate(rootPem);
  const blocks = chain.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  let certificates: X509Certificate[];
  try {
    certificates = blocks.slice(0, 4).map((block) => new X509Certificate(block));
  } catch (cause) {
    throw refuse('has certificates that cannot be read', cause);
  }
  const [leaf, issuer] = certificates;
  if (leaf === undefined || issuer === undefined) throw refuse('comes without a chain of certificates');
  const peer = { ...leaf.toLegacyObject(), issuerCertificate: issuer.toLegacyObject() };
  const stranger = checkBootServer(peer as unknown as Parameters<typeof checkBootServer>[0], root);
  if (stranger !== undefined) throw stranger;
  const isHeld = (one: X509Certificate) =>
    one.validFromDate.getTime() <= at && at < one.validToDate.getTime();
  if (![leaf, issuer, root].every(isHeld)) throw refuse('lies outside of the certificate of who says it');
  return leaf.publicKey;
}
