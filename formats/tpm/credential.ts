import {
  constants,
  createCipheriv,
  createHmac,
  diffieHellman,
  generateKeyPairSync,
  type KeyObject,
  publicEncrypt,
  randomBytes,
} from 'node:crypto';
import { BootwaveError } from '../../base/error.ts';
import { kdfA, kdfE } from './kdf.ts';
import type { TpmPublic } from './public.ts';

/** What TPM2_ActivateCredential takes (TPM 2.0 Part 3, 12.5). */
export type Credential = {
  /** TPM2B_ID_OBJECT. */
  blob: Buffer;
  /** TPM2B_ENCRYPTED_SECRET. */
  seed: Buffer;
};

/** Bytes of the secret: what the credential of a SHA-256 EK may hold at most. */
export const SECRET_BYTES = 32;

/** Names the use of the seed (TPM 2.0 Part 1, 24.3). */
const IDENTITY = 'IDENTITY';

const sized = (bytes: Uint8Array): Buffer => {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(bytes.length);
  return Buffer.concat([length, bytes]);
};

/**
 * TPM2_MakeCredential in software (TPM 2.0 Part 1, 24 "Credential Protection"): wraps `secret` so that only the TPM
 * that holds the private half of `ek` gives it out, and only while it holds an object of the name `akName`. A name is
 * the hash of the public area with all its attributes, so a TPM that gives it out vouches for the AK being its own.
 * @param ek passed `checkEndorsementKey`: RSA or P-256, SHA-256, AES-128-CFB
 * @param akName hex, computed from the AK's public area by us
 * @param secret `SECRET_BYTES` at most
 * @throws BootwaveError `EK_UNSUITABLE` for an RSA modulus that no key has, such as an even one
 */
export function makeCredential(ek: TpmPublic, akName: string, secret: Uint8Array): Credential {
  const name = Buffer.from(akName, 'hex');
  const { seed, encrypted } = ek.type === 'rsa' ? rsaSeed(ek.key) : eccSeed(ek.key);
  // 24.4: the name is an input of the key, the IV is zero because the key is used once.
  const symmetric = kdfA(seed, 'STORAGE', name, 128);
  const cipher = createCipheriv('aes-128-cfb', symmetric, Buffer.alloc(16));
  const identity = Buffer.concat([cipher.update(sized(secret)), cipher.final()]);
  // 24.5: over the encrypted credential and the name.
  const integrityKey = kdfA(seed, 'INTEGRITY', Buffer.alloc(0), 256);
  const integrity = createHmac('sha256', integrityKey).update(identity).update(name).digest();
  // TPMS_ID_OBJECT: the HMAC as a TPM2B_DIGEST, then the rest as it is (Part 2, 12.4.3).
  return { blob: sized(Buffer.concat([sized(integrity), identity])), seed: sized(encrypted) };
}

type Seed = { seed: Buffer; encrypted: Buffer };

/** RSAES-OAEP with the EK's name algorithm and the label ended by a zero byte (Part 1, Annex B "Secret Sharing"). */
function rsaSeed(key: KeyObject): Seed {
  const seed = randomBytes(32);
  const oaep = {
    key,
    padding: constants.RSA_PKCS1_OAEP_PADDING,
    oaepHash: 'sha256',
    oaepLabel: Buffer.from(`${IDENTITY}\0`, 'latin1'),
  };
  try {
    return { seed, encrypted: publicEncrypt(oaep, seed) };
  } catch (cause) {
    throw new BootwaveError({ code: 'EK_UNSUITABLE', what: 'nothing can be encrypted to the EK', cause });
  }
}

/** One-pass Diffie-Hellman; what travels is the ephemeral point (Part 1, Annex C "Secret Sharing"). */
function eccSeed(key: KeyObject): Seed {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const z = diffieHellman({ privateKey, publicKey: key });
  const [ephemeral, endorsement] = [pointOf(publicKey), pointOf(key)];
  return {
    seed: kdfE(z, IDENTITY, ephemeral.x, endorsement.x),
    encrypted: Buffer.concat([sized(ephemeral.x), sized(ephemeral.y)]),
  };
}

/** JWK coordinates have the full length of the field (RFC 7518 6.2.1.2), as the TPM pads them. */
function pointOf(key: KeyObject): { x: Buffer; y: Buffer } {
  const { x, y } = key.export({ format: 'jwk' });
  return { x: Buffer.from(x!, 'base64url'), y: Buffer.from(y!, 'base64url') };
}
