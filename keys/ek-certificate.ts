import { type KeyObject, X509Certificate } from 'node:crypto';
import { type Extension, extensionsOf } from './certificate-extensions.ts';
import { oneLine } from './tpm-roots.ts';

/** Whether the maker of a TPM vouches for an endorsement key. */
export type EkVerdict = {
  verified: boolean;
  /** The CA that vouches, or why none does; one line of at most 256 characters. */
  reason: string;
};

/** tcg-kp-EKCertificate (TCG EK Credential Profile 2.5, 3.2.16). */
const EK_USAGE = '2.23.133.8.1';

const KEY_USAGE = '2.5.29.15';
/** The extensions that are checked below, and the name of the TPM, which is not used here. */
const UNDERSTOOD: Readonly<Record<string, string>> = {
  [KEY_USAGE]: 'key usage',
  '2.5.29.17': 'subject alternative name',
  '2.5.29.19': 'basic constraints',
  '2.5.29.37': 'extended key usage',
};

/**
 * Holds an EK certificate against the CAs that the operator configured (TCG EK Credential Profile 2.5, 3.2; RFC 5280
 * 6.1). Says nothing about revocation: makers publish few lists, and a boot server has no way out to fetch them.
 * @param certificate DER as the TPM holds it; null where it holds none
 * @param ek the key that the machine proved
 * @param roots each one a trust anchor
 * @param now milliseconds since the epoch
 */
export function checkEkCertificate(
  certificate: Uint8Array | null,
  ek: KeyObject,
  roots: readonly X509Certificate[],
  now: number,
): EkVerdict {
  if (certificate === null) return unverified('the TPM holds no EK certificate');
  try {
    return check(new X509Certificate(certificate), ek, roots, now);
  } catch {
    return unverified('the EK certificate cannot be read');
  }
}

function check(
  certificate: X509Certificate,
  ek: KeyObject,
  roots: readonly X509Certificate[],
  now: number,
): EkVerdict {
  if (!certificate.publicKey.equals(ek)) return unverified('the EK certificate is for another key');
  if (certificate.ca) return unverified('the EK certificate is one of a CA');
  // `keyUsage` is the extended one; old certificates have none.
  if (certificate.keyUsage !== undefined && !certificate.keyUsage.includes(EK_USAGE)) {
    return unverified('the certificate is not for an endorsement key');
  }
  const extensions = extensionsOf(certificate.raw);
  const strange = notUnderstood(extensions);
  if (strange !== null) return unverified(strange);
  if (!mayEncrypt(extensions)) return unverified('the key of the EK certificate is not for encryption');
  if (!current(certificate, now)) return unverified('the EK certificate is not valid at this time');
  const issuer = oneLine(certificate.issuer);
  if (roots.length === 0) return unverified(`issued by ${issuer}; no TPM roots are configured`);
  const root = roots.find(
    (candidate) =>
      candidate.ca && certificate.checkIssued(candidate) && certificate.verify(candidate.publicKey),
  );
  if (root === undefined)
    return unverified(`issued by ${issuer}, which is not one of the configured TPM roots`);
  if (!current(root, now))
    return unverified(`issued by ${issuer}, whose own certificate is not valid at this time`);
  return { verified: true, reason: `issued by ${issuer}` };
}

/**
 * RFC 5280 4.2: a verifier that meets a critical extension that it does not process, or the same extension twice,
 * rejects the certificate.
 */
function notUnderstood(extensions: readonly Extension[]): string | null {
  const ids = extensions.map(({ id }) => id);
  const twice = ids.find((id, i) => ids.indexOf(id) !== i);
  if (twice !== undefined) return `the EK certificate has the extension ${twice} twice`;
  const strange = extensions.find(({ id, critical }) => critical && !Object.hasOwn(UNDERSTOOD, id));
  return strange === undefined
    ? null
    : `the EK certificate has the critical extension ${strange.id}, which is not known here`;
}

/** TCG EK Credential Profile 2.5, 3.2.14: keyEncipherment for RSA, keyAgreement for ECC; bits 2 and 4 (RFC 5280 4.2.1.3). */
function mayEncrypt(extensions: readonly Extension[]): boolean {
  const usage = extensions.find(({ id }) => id === KEY_USAGE);
  // A BIT STRING: tag, length, count of unused bits, and then the bits, highest first.
  return usage === undefined || ((usage.value[3] ?? 0) & 0b0010_1000) !== 0;
}

const unverified = (reason: string): EkVerdict => ({ verified: false, reason });

const current = (certificate: X509Certificate, now: number): boolean =>
  certificate.validFromDate.getTime() <= now && now < certificate.validToDate.getTime();
