import { createPublicKey, type KeyObject } from 'node:crypto';
import { BootwaveError } from '../../base/error.ts';
import { TpmReader } from '../byte-reader.ts';
import { sha256 } from '../digest.ts';

/** TPM_ALG_ID, TPM_ECC_CURVE (TPM 2.0 Part 2, 6.3 and 6.4); only what enrolment accepts. */
export const ALG = {
  RSA: 0x0001,
  AES: 0x0006,
  SHA256: 0x000b,
  NULL: 0x0010,
  ECDSA: 0x0018,
  ECC: 0x0023,
} as const;
const CURVE_P256 = 0x0003;
/** TPM_ALG_CFB. */
const CFB = 0x0043;

/** TPMA_OBJECT (TPM 2.0 Part 2, 8.3). */
const ATTRIBUTE = {
  fixedTPM: 1 << 1,
  stClear: 1 << 2,
  fixedParent: 1 << 4,
  sensitiveDataOrigin: 1 << 5,
  userWithAuth: 1 << 6,
  adminWithPolicy: 1 << 7,
  noDA: 1 << 10,
  encryptedDuplication: 1 << 11,
  restricted: 1 << 16,
  decrypt: 1 << 17,
  sign: 1 << 18,
} as const;

/** TPM_RH_ENDORSEMENT (TPM 2.0 Part 2, 7.4). */
const ENDORSEMENT = Buffer.from('4000000b', 'hex');

/** PolicyA_SHA256: PolicySecret(TPM_RH_ENDORSEMENT) (TCG EK Credential Profile 2.5, B.6.2). */
const EK_POLICY = '837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa';

/** TPMT_PUBLIC (TPM 2.0 Part 2, 12.2.4) of an RSA or P-256 key with nameAlg SHA-256. */
export type TpmPublic = {
  /** The TPMT_PUBLIC itself: what its digest and name are made of. */
  area: Buffer;
  type: 'rsa' | 'ecc';
  /** TPMA_OBJECT bits. */
  attributes: number;
  authPolicy: Buffer;
  symmetric: number;
  /** Key bits and mode; null without a symmetric algorithm. */
  symmetricMode: { bits: number; mode: number } | null;
  scheme: number;
  schemeHash: number | null;
  /** nameAlg and digest (TPM 2.0 Part 1, 16), hex. */
  name: string;
  /** SHA-256 of the TPMT_PUBLIC, hex. */
  digest: string;
  key: KeyObject;
};

/**
 * Reads a TPM2B_PUBLIC.
 * @throws BootwaveError with `code` for anything that is not a well-formed RSA-2048..4096 or P-256 public area
 */
export function parseTpmPublic(bytes: Uint8Array, code: string): TpmPublic {
  const outer = new TpmReader(bytes, code);
  const area = Buffer.from(outer.sized(1024));
  outer.end();

  const reader = new TpmReader(area, code);
  const type = reader.u16();
  if (type !== ALG.RSA && type !== ALG.ECC)
    reader.fail(`the key type 0x${type.toString(16)} is neither RSA nor ECC`);
  const nameAlg = reader.u16();
  if (nameAlg !== ALG.SHA256) reader.fail(`the name algorithm 0x${nameAlg.toString(16)} is not SHA-256`);
  const attributes = reader.u32();
  const authPolicy = Buffer.from(reader.sized(64));
  // TPMT_SYM_DEF_OBJECT: key bits and mode follow unless the algorithm is NULL (Part 2, 11.1.7).
  const symmetric = reader.u16();
  const symmetricMode = symmetric === ALG.NULL ? null : { bits: reader.u16(), mode: reader.u16() };
  // TPMT_RSA_SCHEME, TPMT_ECC_SCHEME: every scheme accepted here has a hash and nothing else (Part 2, 11.2.4, 11.2.5).
  const scheme = reader.u16();
  const schemeHash = scheme === ALG.NULL ? null : reader.u16();
  const key = type === ALG.RSA ? readRsa(reader) : readEcc(reader);
  reader.end();

  const digest = sha256(area).toString('hex');
  return {
    area,
    type: type === ALG.RSA ? 'rsa' : 'ecc',
    attributes,
    authPolicy,
    symmetric,
    symmetricMode,
    scheme,
    schemeHash,
    name: `000b${digest}`,
    digest,
    key,
  };
}

function readRsa(reader: TpmReader): KeyObject {
  const bits = reader.u16();
  if (bits !== 2048 && bits !== 3072 && bits !== 4096) reader.fail(`RSA of ${bits} bits`);
  // Zero stands for 2^16+1 (TPM 2.0 Part 2, 12.2.3.5).
  const exponent = reader.u32() || 65537;
  if (exponent !== 65537) reader.fail(`the RSA exponent ${exponent}`);
  const modulus = reader.sized(512);
  if (modulus.length !== bits / 8 || modulus[0]! < 0x80)
    reader.fail('the RSA modulus has not the length it claims');
  return createPublicKey({
    key: { kty: 'RSA', n: modulus.toString('base64url'), e: 'AQAB' },
    format: 'jwk',
  });
}

function readEcc(reader: TpmReader): KeyObject {
  const curve = reader.u16();
  if (curve !== CURVE_P256) reader.fail(`the curve 0x${curve.toString(16)} is not P-256`);
  if (reader.u16() !== ALG.NULL) reader.fail('a key derivation scheme where none belongs');
  const x = reader.sized(32);
  const y = reader.sized(32);
  const coordinate = (bytes: Buffer) =>
    Buffer.concat([Buffer.alloc(32 - bytes.length), bytes]).toString('base64url');
  try {
    return createPublicKey({
      key: { kty: 'EC', crv: 'P-256', x: coordinate(x), y: coordinate(y) },
      format: 'jwk',
    });
  } catch {
    return reader.fail('the point is not on P-256');
  }
}

/** Qualified name of a primary key in the endorsement hierarchy (TPM 2.0 Part 1, 16 "Names"), hex. */
export function endorsementQualifiedName(key: TpmPublic): string {
  return `000b${sha256(Buffer.concat([ENDORSEMENT, Buffer.from(key.name, 'hex')])).toString('hex')}`;
}

function demand(key: TpmPublic, code: string, rules: readonly (readonly [boolean, string])[]): void {
  for (const [holds, what] of rules) {
    if (!holds) {
      throw new BootwaveError({
        code,
        what: `${what} (attributes 0x${key.attributes.toString(16).padStart(8, '0')})`,
      });
    }
  }
}

const has = (key: TpmPublic, bits: number) => (key.attributes & bits) === bits;
const lacks = (key: TpmPublic, bits: number) => (key.attributes & bits) === 0;

/**
 * An endorsement key of the default templates L-1 and L-2 (TCG EK Credential Profile 2.5, B.3).
 * @throws BootwaveError `EK_UNSUITABLE`
 */
export function checkEndorsementKey(key: TpmPublic): void {
  demand(key, 'EK_UNSUITABLE', [
    [
      has(key, ATTRIBUTE.fixedTPM | ATTRIBUTE.fixedParent | ATTRIBUTE.sensitiveDataOrigin),
      'the EK could have left its TPM',
    ],
    [
      has(key, ATTRIBUTE.restricted | ATTRIBUTE.decrypt | ATTRIBUTE.adminWithPolicy),
      'the EK is not a storage key',
    ],
    [
      lacks(key, ATTRIBUTE.sign | ATTRIBUTE.stClear | ATTRIBUTE.encryptedDuplication),
      'the EK has a bit that no EK has',
    ],
    [key.authPolicy.toString('hex') === EK_POLICY, 'the EK has not the policy of the default templates'],
    [
      key.symmetric === ALG.AES &&
        key.symmetricMode?.bits === 128 &&
        key.symmetricMode.mode === CFB &&
        key.scheme === ALG.NULL,
      'the EK has not the parameters of the default templates',
    ],
  ]);
}

/**
 * A restricted signing key: it signs only what its own TPM produced, so a quote by it cannot be made up in software
 * (TPM 2.0 Part 1, 25.2 "Restricted signing keys").
 * @throws BootwaveError `AK_UNSUITABLE`
 */
export function checkAttestationKey(key: TpmPublic): void {
  demand(key, 'AK_UNSUITABLE', [
    [has(key, ATTRIBUTE.restricted), 'the AK is not restricted: it would sign anything'],
    [has(key, ATTRIBUTE.sign), 'the AK is not a signing key'],
    [
      has(key, ATTRIBUTE.fixedTPM | ATTRIBUTE.fixedParent | ATTRIBUTE.sensitiveDataOrigin),
      'the AK could have left its TPM',
    ],
    [
      lacks(key, ATTRIBUTE.decrypt | ATTRIBUTE.stClear | ATTRIBUTE.encryptedDuplication),
      'the AK has a bit that no AK has',
    ],
    [key.type === 'ecc' && key.symmetric === ALG.NULL, 'the AK is not a P-256 signing key'],
    [
      key.scheme === ALG.ECDSA && key.schemeHash === ALG.SHA256,
      'the AK does not sign with ECDSA and SHA-256',
    ],
  ]);
}

/**
 * The key that a credential for secrets names: a storage key, so never the attestation key, whose credentials the agent
 * may have opened; of its TPM only, and of use under this policy only.
 * @throws BootwaveError `DELIVERY_KEY_UNSUITABLE`
 */
export function checkDeliveryKey(key: TpmPublic, policy: Uint8Array): void {
  demand(key, 'DELIVERY_KEY_UNSUITABLE', [
    [
      has(key, ATTRIBUTE.fixedTPM | ATTRIBUTE.fixedParent | ATTRIBUTE.sensitiveDataOrigin),
      'the delivery key could have left its TPM',
    ],
    [
      has(key, ATTRIBUTE.restricted | ATTRIBUTE.decrypt | ATTRIBUTE.adminWithPolicy),
      'the delivery key is not a storage key that obeys its policy',
    ],
    [
      lacks(
        key,
        ATTRIBUTE.sign | ATTRIBUTE.userWithAuth | ATTRIBUTE.stClear | ATTRIBUTE.encryptedDuplication,
      ),
      'the delivery key has a bit that no delivery key has',
    ],
    [key.authPolicy.equals(policy), 'the delivery key is for another state of the machine'],
  ]);
}
