import { createHash, type KeyObject, randomBytes, sign } from 'node:crypto';
import forge from 'node-forge';

const { asn1, pki } = forge;

export type DistinguishedName = { commonName: string; organization?: string };

/** RFC 5280 fields of a certificate to be made. */
export type CertificateRequest = {
  subject: DistinguishedName;
  issuer: DistinguishedName;
  /** DER SubjectPublicKeyInfo of any algorithm. */
  spki: Uint8Array;
  /** RSA private key of the issuer. */
  signer: KeyObject;
  /** DER SubjectPublicKeyInfo of the issuer, for the authority key identifier; absent when self-signed. */
  issuerSpki?: Uint8Array;
  notBefore: Date;
  notAfter: Date;
  /** Extensions in node-forge's own terms, key identifiers excepted: those are added here. */
  extensions: readonly object[];
};

export type Certificate = {
  pem: string;
  /** Lower-case hex as OpenSSL prints it, first digit never above 7 (positive, RFC 5280 4.1.2.2). */
  serial: string;
  /** SHA-256 of the SubjectPublicKeyInfo, hex. */
  spkiDigest: string;
  /** Milliseconds since the epoch. */
  notBefore: number;
  notAfter: number;
};

/** RFC 5280 4.2.1.2 method 1, cut from the SPKI's BIT STRING. As node-forge's binary string. */
export function keyIdentifier(spki: Uint8Array): string {
  const parsed = asn1.fromDer(forge.util.createBuffer(Buffer.from(spki).toString('binary')));
  const bits = (parsed.value as forge.asn1.Asn1[])[1] as forge.asn1.Asn1 & { bitStringContents?: string };
  const contents = bits.bitStringContents ?? (typeof bits.value === 'string' ? bits.value : null);
  const key = contents === null ? Buffer.from(spki) : Buffer.from(contents, 'binary').subarray(1);
  return createHash('sha1').update(key).digest('binary');
}

function attributes(name: DistinguishedName): forge.pki.CertificateField[] {
  return [
    { name: 'commonName', value: name.commonName },
    ...(name.organization === undefined ? [] : [{ name: 'organizationName', value: name.organization }]),
  ];
}

/** Where SubjectPublicKeyInfo stands in TBSCertificate when the version is explicit (RFC 5280 4.1). */
const SPKI_POSITION = 6;
export const SHA256_WITH_RSA = '1.2.840.113549.1.1.11';

/**
 * Makes a certificate with node-forge, which supports only RSA and signs in JavaScript (25 ms each). So the real public
 * key replaces a placeholder, and node:crypto signs.
 */
export function makeCertificate(request: CertificateRequest): Certificate {
  const certificate = pki.createCertificate();
  const serialBytes = randomBytes(16);
  // Positive and of full length, so that it reads the same in forge, Node and OpenSSL.
  serialBytes[0] = (serialBytes[0]! & 0x3f) | 0x40;
  certificate.serialNumber = serialBytes.toString('hex');
  certificate.validity.notBefore = request.notBefore;
  certificate.validity.notAfter = request.notAfter;
  certificate.setSubject(attributes(request.subject));
  certificate.setIssuer(attributes(request.issuer));
  certificate.publicKey = standIn;
  certificate.setExtensions([
    ...request.extensions,
    {
      id: '2.5.29.14',
      name: 'subjectKeyIdentifier',
      value: octetString(keyIdentifier(request.spki)),
    },
    ...(request.issuerSpki === undefined
      ? []
      : [{ name: 'authorityKeyIdentifier', keyIdentifier: keyIdentifier(request.issuerSpki) }]),
  ]);
  certificate.signatureOid = SHA256_WITH_RSA;
  (certificate as unknown as { siginfo: { algorithmOid: string } }).siginfo.algorithmOid = SHA256_WITH_RSA;

  const tbs = (
    pki as unknown as { getTBSCertificate(c: forge.pki.Certificate): forge.asn1.Asn1 }
  ).getTBSCertificate(certificate);
  const fields = tbs.value as forge.asn1.Asn1[];
  fields[SPKI_POSITION] = asn1.fromDer(forge.util.createBuffer(Buffer.from(request.spki).toString('binary')));
  const tbsDer = Buffer.from(asn1.toDer(tbs).getBytes(), 'binary');
  const signature = sign('sha256', tbsDer, request.signer);
  const algorithm = asn1.create(asn1.Class.UNIVERSAL, asn1.Type.SEQUENCE, true, [
    asn1.create(asn1.Class.UNIVERSAL, asn1.Type.OID, false, asn1.oidToDer(SHA256_WITH_RSA).getBytes()),
    asn1.create(asn1.Class.UNIVERSAL, asn1.Type.NULL, false, ''),
  ]);
  const whole = asn1.create(asn1.Class.UNIVERSAL, asn1.Type.SEQUENCE, true, [
    tbs,
    algorithm,
    asn1.create(asn1.Class.UNIVERSAL, asn1.Type.BITSTRING, false, `\0${signature.toString('binary')}`),
  ]);
  const der = Buffer.from(asn1.toDer(whole).getBytes(), 'binary');
  return {
    pem: toPem('CERTIFICATE', der),
    serial: certificate.serialNumber,
    spkiDigest: createHash('sha256').update(request.spki).digest('hex'),
    notBefore: request.notBefore.getTime(),
    notAfter: request.notAfter.getTime(),
  };
}

function octetString(bytes: string): string {
  return asn1.toDer(asn1.create(asn1.Class.UNIVERSAL, asn1.Type.OCTETSTRING, false, bytes)).getBytes();
}

export function toPem(label: string, der: Uint8Array): string {
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}

/** Any well-formed RSA key: getTBSCertificate needs one, and it is replaced before anything is signed. */
const standIn = pki.setRsaPublicKey(
  new forge.jsbn.BigInteger('c5a1b3', 16),
  new forge.jsbn.BigInteger('10001', 16),
) as forge.pki.PublicKey;
