import { type KeyObject, sign, X509Certificate } from 'node:crypto';
import forge from 'node-forge';
import { keyIdentifier, SHA256_WITH_RSA } from './certificate.ts';

const { asn1 } = forge;
const { UNIVERSAL, CONTEXT_SPECIFIC } = asn1.Class;
type Asn1 = forge.asn1.Asn1;

export type CrlRequest = {
  /** Grows with every list (RFC 5280 5.2.3): a client that has a higher number refuses a lower one. */
  number: bigint;
  thisUpdate: Date;
  /** The next list is published at this time or earlier. */
  nextUpdate: Date;
  revoked: readonly RevokedCertificate[];
};

export type RevokedCertificate = {
  /** Hex, as in the certificate. */
  serial: string;
  /** Milliseconds since the epoch. */
  at: number;
};

/** v2 is written as 1 (RFC 5280 5.1.2.1). */
const VERSION_2 = '\x01';
const OID = { crlNumber: '2.5.29.20', authorityKeyIdentifier: '2.5.29.35' } as const;
/** From here on years no longer fit UTCTime (RFC 5280 5.1.2.4). */
const GENERALIZED_FROM = 2050;

/**
 * A list of revoked certificates (RFC 5280 5), of which node-forge handles only the ASN.1.
 * @param issuerPem the CA's own certificate: its subject is taken over byte for byte, as comparing names demands
 * @returns DER
 */
export function makeCrl(request: CrlRequest, issuerPem: string, signer: KeyObject): Buffer {
  const issuer = new X509Certificate(issuerPem);
  const entries = request.revoked.map(({ serial, at }) =>
    sequence([integer(Buffer.from(evenHex(serial), 'hex')), time(new Date(at))]),
  );
  const list = sequence([
    primitive(asn1.Type.INTEGER, VERSION_2),
    algorithm(),
    subjectOf(issuer),
    time(request.thisUpdate),
    time(request.nextUpdate),
    // Absent when nothing is revoked (5.1.2.6).
    ...(entries.length === 0 ? [] : [sequence(entries)]),
    asn1.create(CONTEXT_SPECIFIC, 0, true, [
      sequence([
        extension(OID.authorityKeyIdentifier, authorityKeyIdentifier(issuer)),
        extension(OID.crlNumber, integer(Buffer.from(evenHex(request.number.toString(16)), 'hex'))),
      ]),
    ]),
  ]);
  const signature = sign('sha256', derOf(list), signer);
  return derOf(
    sequence([list, algorithm(), primitive(asn1.Type.BITSTRING, `\0${signature.toString('binary')}`)]),
  );
}

function derOf(value: Asn1): Buffer {
  return Buffer.from(asn1.toDer(value).getBytes(), 'binary');
}

function sequence(values: Asn1[]): Asn1 {
  return asn1.create(UNIVERSAL, asn1.Type.SEQUENCE, true, values);
}

function primitive(type: forge.asn1.Type, value: string): Asn1 {
  return asn1.create(UNIVERSAL, type, false, value);
}

/** DER of an unsigned number: the shortest form, with a zero byte in front when its first bit is set (X.690 8.3). */
function integer(bytes: Buffer): Asn1 {
  const from = bytes.findIndex((byte) => byte !== 0);
  const short = from < 0 ? Buffer.alloc(1) : bytes.subarray(from);
  const text = short.toString('binary');
  return primitive(asn1.Type.INTEGER, short[0]! >= 0x80 ? `\0${text}` : text);
}

const evenHex = (hex: string): string => (hex.length % 2 === 0 ? hex : `0${hex}`);

function time(at: Date): Asn1 {
  return at.getUTCFullYear() < GENERALIZED_FROM
    ? primitive(asn1.Type.UTCTIME, String(asn1.dateToUtcTime(at)))
    : primitive(asn1.Type.GENERALIZEDTIME, String(asn1.dateToGeneralizedTime(at)));
}

function algorithm(): Asn1 {
  return sequence([
    primitive(asn1.Type.OID, asn1.oidToDer(SHA256_WITH_RSA).getBytes()),
    primitive(asn1.Type.NULL, ''),
  ]);
}

function extension(oid: string, value: Asn1): Asn1 {
  return sequence([
    primitive(asn1.Type.OID, asn1.oidToDer(oid).getBytes()),
    primitive(asn1.Type.OCTETSTRING, asn1.toDer(value).getBytes()),
  ]);
}

function authorityKeyIdentifier(issuer: X509Certificate): Asn1 {
  const spki = issuer.publicKey.export({ type: 'spki', format: 'der' });
  return sequence([asn1.create(CONTEXT_SPECIFIC, 0, false, keyIdentifier(spki))]);
}

/** Where the subject stands in TBSCertificate when the version is explicit (RFC 5280 4.1). */
const SUBJECT_POSITION = 5;

function subjectOf(certificate: X509Certificate): Asn1 {
  const whole = asn1.fromDer(forge.util.createBuffer(certificate.raw.toString('binary')));
  const [tbs] = whole.value as [Asn1];
  return (tbs.value as Asn1[])[SUBJECT_POSITION]!;
}
