import { createPublicKey, type KeyObject, verify } from 'node:crypto';
import forge from 'node-forge';
import { BootwaveError } from '../base/error.ts';

const { asn1 } = forge;

/** DER of AlgorithmIdentifier ecPublicKey with prime256v1 (RFC 5480 2.1.1) and of ecdsa-with-SHA256 (RFC 5758 3.2). */
const P256 = '301306072a8648ce3d020106082a8648ce3d030107';
const ECDSA_SHA256 = '300a06082a8648ce3d040302';

export type Csr = {
  der: Buffer;
  /** DER SubjectPublicKeyInfo. */
  spki: Buffer;
  key: KeyObject;
};

const refuse = (code: string, what: string): never => {
  throw new BootwaveError({ code, what });
};

const toDer = (node: forge.asn1.Asn1) => Buffer.from(asn1.toDer(node).getBytes(), 'binary');
const malformed = () => refuse('CSR_MALFORMED', 'the CSR is not a PKCS#10 structure');

/**
 * Tags are checked: what is verified here as one structure must not be a different one for the next reader of the CSR.
 */
const { SEQUENCE, INTEGER, BITSTRING } = asn1.Type;
const is = (node: forge.asn1.Asn1 | undefined, type: number, tagClass = asn1.Class.UNIVERSAL): boolean =>
  node?.type === type && node.tagClass === tagClass;
const sequence = (node: forge.asn1.Asn1 | undefined): forge.asn1.Asn1[] =>
  node !== undefined && is(node, SEQUENCE) && Array.isArray(node.value) ? node.value : malformed();

/**
 * Reads a PKCS#10 request (RFC 2986 4) for a P-256 key and checks that its holder signed it. Subject and attributes
 * are not read: the identity of the node comes from the fleet's record, not from what the node calls itself.
 * @throws BootwaveError `CSR_MALFORMED`, `CSR_KEY_UNSUPPORTED`, `CSR_SIGNATURE`
 */
export function parseCsr(der: Buffer): Csr {
  const [info, algorithm, signature] = outerFields(der);
  const [, , spkiNode] = sequence(info);
  const [keyAlgorithm] = sequence(spkiNode);
  if (keyAlgorithm === undefined || toDer(keyAlgorithm).toString('hex') !== P256) {
    refuse('CSR_KEY_UNSUPPORTED', 'the CSR is not for a P-256 key');
  }
  if (toDer(algorithm!).toString('hex') !== ECDSA_SHA256) {
    refuse('CSR_KEY_UNSUPPORTED', 'the CSR is not signed with ECDSA and SHA-256');
  }
  const spki = toDer(spkiNode!);
  const key = publicKey(spki);
  // BIT STRING: the first octet counts unused bits (X.690 8.6.2.2). A signature has no unused bits.
  const bits = toDer(signature!);
  const value = bits.subarray(bits.length < 0x82 ? 2 : 3);
  if (value[0] !== 0 || !verify('sha256', toDer(info!), key, value.subarray(1))) {
    refuse('CSR_SIGNATURE', 'the CSR is not signed by its own key');
  }
  return { der, spki, key };
}

function outerFields(der: Buffer): forge.asn1.Asn1[] {
  let root: forge.asn1.Asn1;
  try {
    // Signatures and keys stay octets; forge would otherwise try to read ASN.1 inside BIT STRINGs.
    root = asn1.fromDer(forge.util.createBuffer(der.toString('binary')), {
      strict: true,
      parseAllBytes: true,
      decodeBitStrings: false,
    } as unknown as boolean);
  } catch {
    return refuse('CSR_MALFORMED', 'the CSR is not DER');
  }
  // One encoding only (X.690 10), so that what was verified is what was sent.
  if (!toDer(root).equals(der)) refuse('CSR_MALFORMED', 'the CSR is not in the distinguished encoding');
  const fields = sequence(root);
  const [info, algorithm, signature] = fields;
  const [version, subject, spki, attributes, ...more] = sequence(info);
  const isWhole =
    fields.length === 3 &&
    more.length === 0 &&
    is(version, INTEGER) &&
    version?.value === '\0' &&
    [subject, spki, algorithm].every((node) => is(node, SEQUENCE)) &&
    is(attributes, 0, asn1.Class.CONTEXT_SPECIFIC) &&
    Array.isArray(attributes?.value) &&
    is(signature, BITSTRING);
  if (!isWhole) malformed();
  return fields;
}

function publicKey(spki: Buffer): KeyObject {
  try {
    return createPublicKey({ key: spki, format: 'der', type: 'spki' });
  } catch {
    return refuse('CSR_KEY_UNSUPPORTED', 'the point in the CSR is not on P-256');
  }
}
