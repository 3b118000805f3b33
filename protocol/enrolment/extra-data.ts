import { digestOf } from '../../formats/digest.ts';

/**
 * The 32 bytes that a node's proof is made over: the quote's extraData (TPM 2.0 Part 2, 10.12.12 TPMS_ATTEST), or the
 * message that the CSR key signs where there is no TPM. It ties the keys made for this boot to this dialogue.
 * @param nonce 32 bytes, the server's
 * @param csr PKCS#10, DER
 * @param hostKey OpenSSH public key line
 */
export function extraData(nonce: Uint8Array, csr: Uint8Array, hostKey: string): Buffer {
  return digestOf('bootwave enrolment proof 1', [nonce, csr, Buffer.from(hostKey, 'utf8')]);
}

/**
 * The extraData of a member's quote between two enrolments. The key of the certificate with which it is connected ties
 * the quote to that connection: one machine cannot attest for another.
 * @param nonce 32 bytes, the server's
 * @param spki SubjectPublicKeyInfo of that certificate, DER
 */
export function reattestData(nonce: Uint8Array, spki: Uint8Array): Buffer {
  return digestOf('bootwave re-attestation 1', [nonce, spki]);
}

/**
 * The extraData of the quote with which a held machine says what it has wiped.
 * @param nonce 32 bytes, the server's, made after the wipe
 * @param report the text of it (wipe.ts)
 */
export function wipeData(nonce: Uint8Array, report: string): Buffer {
  return digestOf('bootwave wipe report 1', [nonce, Buffer.from(report, 'utf8')]);
}

/**
 * The extraData of the quote with which a held machine shows what is on its disks before they are wiped.
 * @param nonce 32 bytes, the server's, made after they were read
 * @param report the text of it (disk-evidence.ts)
 */
export function diskEvidenceData(nonce: Uint8Array, report: string): Buffer {
  return digestOf('bootwave disk evidence 1', [nonce, Buffer.from(report, 'utf8')]);
}
