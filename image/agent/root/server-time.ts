/**
 * The time as a boot server of this fleet says it. No clock is asked whether its certificate holds: it must hold at the time that
 * is said, and the key that says so is asked for a fresh signature. Whoever stole an old server key can put a clock back into
 * the days of that key's certificate, and not before the fleet began.
 */
import { verify, X509Certificate } from 'node:crypto';
import { BootwaveError } from '../../../base/error.ts';
import { checkBootServer } from '../../../keys/server-identity.ts';
import type { TimeReply } from '../../../protocol/enrolment/messages.ts';
import { timeData } from '../../../protocol/enrolment/server-time.ts';

const refuse = (what: string, cause?: unknown) =>
  new BootwaveError({ code: 'SERVER_TIME', what, unchanged: 'the clock is as it was', cause });

/**
 * @param nonce 32 bytes, hex, of which nobody else knew before
 * @param rootPem the fleet's root
 * @returns milliseconds since the epoch
 * @throws BootwaveError `SERVER_TIME`, `SERVER_NOT_TRUSTED`
 */
export function verifyTime({ time, signature, chain }: TimeReply, nonce: string, rootPem: string): number {
  const root = new X509Certificate(rootPem);
  const [leaf, issuer] = certificatesOf(chain);
  if (leaf === undefined || issuer === undefined)
    throw refuse('the time comes without a chain of certificates');
  const peer = { ...leaf.toLegacyObject(), issuerCertificate: issuer.toLegacyObject() };
  const stranger = checkBootServer(peer as unknown as Parameters<typeof checkBootServer>[0], root);
  if (stranger !== undefined) throw stranger;
  const isHeld = (one: X509Certificate) =>
    one.validFromDate.getTime() <= time && time < one.validToDate.getTime();
  if (![leaf, issuer, root].every(isHeld))
    throw refuse('the time that is said lies outside of the certificate of who says it');
  const data = timeData(Buffer.from(nonce, 'hex'), time);
  if (!verify('sha256', data, leaf.publicKey, Buffer.from(signature, 'base64')))
    throw refuse('the time is not signed by the key of the boot server');
  return time;
}

function certificatesOf(chain: string): X509Certificate[] {
  const blocks = chain.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  try {
    return blocks.slice(0, 4).map((block) => new X509Certificate(block));
  } catch (cause) {
    throw refuse('the certificates of the time cannot be read', cause);
  }
}
