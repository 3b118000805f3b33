/** A certificate with its key, as an operator's file holds them, and the proof that somebody has both. */
import { createPrivateKey, type KeyObject, sign, verify, X509Certificate } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { BootwaveError, messageOf } from '../base/error.ts';

/** Whoever holds both can act as this operator. */
export type Credential = { key: KeyObject; certificate: X509Certificate };

/**
 * Reads a file with a certificate and its key (PEM, in any order).
 * @throws BootwaveError `OPERATOR_FILE`: it is not such a file, or others can read it
 */
export async function readCredential(file: string): Promise<Credential> {
  const wrong = (what: string, next = "name a file as 'bootwave operator add' makes it", cause?: unknown) =>
    new BootwaveError({ code: 'OPERATOR_FILE', what, unchanged: 'nothing was changed', next, cause });
  try {
    const [status, pem] = await Promise.all([stat(file), readFile(file, 'utf8')]);
    if ((status.mode & 0o077) !== 0) throw wrong(`${file} can be read by others`, `chmod 600 ${file}`);
    const certificate = new X509Certificate(pem.slice(Math.max(pem.indexOf('-----BEGIN CERTIFICATE'), 0)));
    return { certificate, key: createPrivateKey(pem) };
  } catch (cause) {
    if (cause instanceof BootwaveError) throw cause;
    throw wrong(`${file} is not a certificate with its key: ${messageOf(cause)}`, undefined, cause);
  }
}

/**
 * The signed bytes begin with a fixed text of their own, so that no signature made for another purpose can be used
 * here.
 */
const PROOF = 'bootwave operator proof 1\0';

/** Signs a nonce of 32 bytes that the asking side has just made. */
export function prove(key: KeyObject, nonce: Uint8Array): Buffer {
  return sign('sha256', proofOf(nonce), key);
}

export function isProven(certificate: X509Certificate, nonce: Uint8Array, proof: Uint8Array): boolean {
  return verify('sha256', proofOf(nonce), certificate.publicKey, proof);
}

function proofOf(nonce: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from(PROOF), nonce]);
}
