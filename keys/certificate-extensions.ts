/** The extensions of an X.509 certificate (RFC 5280 4.2), which `X509Certificate` shows only in part. */
import forge from 'node-forge';

const { asn1 } = forge;

export type Extension = {
  /** In dots. */
  id: string;
  critical: boolean;
  /** DER. */
  value: Buffer;
};

/**
 * @param der of a certificate that OpenSSL has read
 * @throws Error when it holds no list of extensions where one belongs
 */
export function extensionsOf(der: Uint8Array): Extension[] {
  // BIT STRINGs stay octets: forge would otherwise look for ASN.1 inside of keys.
  const options = { strict: true, decodeBitStrings: false } as unknown as boolean;
  const root = asn1.fromDer(forge.util.createBuffer(Buffer.from(der).toString('binary')), options);
  const [body] = parts(root);
  const tagged = parts(body).find(
    ({ tagClass, type }) => tagClass === asn1.Class.CONTEXT_SPECIFIC && (type as number) === 3,
  );
  if (tagged === undefined) return [];
  return parts(parts(tagged)[0]).map((extension) => {
    const [id, ...rest] = parts(extension);
    const value = rest.at(-1)?.value;
    if (typeof id?.value !== 'string' || typeof value !== 'string') throw malformed();
    const critical = rest.length === 2 && rest[0]?.value !== '\x00';
    return { id: asn1.derToOid(id.value), critical, value: Buffer.from(value, 'binary') };
  });
}

function parts(node: forge.asn1.Asn1 | undefined): forge.asn1.Asn1[] {
  if (node === undefined || !Array.isArray(node.value)) throw malformed();
  return node.value;
}

const malformed = () => new Error('the certificate is not as RFC 5280 4.1 has it');
