import { createHash, createPrivateKey, createPublicKey, type KeyObject, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { BootwaveError } from '../base/error.ts';
import { type Certificate, type DistinguishedName, makeCertificate } from './certificate.ts';
import { type CrlRequest, makeCrl } from './crl.ts';
import { type AuthorityName, keyLayout } from './layout.ts';

/** The name of each authority in its certificate. The agent recognises the servers CA by this name. */
export const AUTHORITY_COMMON_NAME: Record<AuthorityName | 'root', string> = {
  root: 'Bootwave root CA',
  nodes: 'Bootwave nodes CA',
  servers: 'Bootwave servers CA',
  operators: 'Bootwave operators CA',
};

export type LeafRequest = {
  /** DER SubjectPublicKeyInfo. */
  spki: Uint8Array;
  commonName: string;
  uris?: readonly string[];
  dnsNames?: readonly string[];
  ipAddresses?: readonly string[];
  /** Extended key usage: exactly one. */
  usage: 'client' | 'server';
  notBefore: Date;
  notAfter: Date;
};

/** GeneralName choices (RFC 5280 4.2.1.6) as node-forge numbers them. */
const GENERAL_NAME = { dns: 2, uri: 6, ip: 7 } as const;

/** Hex digits of an id: 64 bits. */
const ID_DIGITS = 16;

/** The id of a CA where several have its name: the beginning of the SHA-256 of its SubjectPublicKeyInfo, hex. */
export function authorityId(certificate: X509Certificate): string {
  const spki = certificate.publicKey.export({ type: 'spki', format: 'der' });
  return createHash('sha256').update(spki).digest('hex').slice(0, ID_DIGITS);
}

/** SHA-256 of a certificate, hex. */
export const fingerprintOf = ({ fingerprint256 }: Pick<X509Certificate, 'fingerprint256'>): string =>
  fingerprint256.replaceAll(':', '').toLowerCase();

/** One issuing CA of the fleet, its key in memory. */
export class Authority {
  readonly name: AuthorityName;
  /** See `authorityId`. */
  readonly id: string;
  /** PEM of the CA's own certificate: what follows a leaf in the chain. */
  readonly chainPem: string;
  /** Since when the CA's own certificate is valid. */
  readonly notBefore: Date;
  readonly #key: KeyObject;
  readonly #subject: DistinguishedName;
  readonly #spki: Buffer;

  constructor(name: AuthorityName, certificatePem: string, key: KeyObject) {
    this.name = name;
    this.chainPem = certificatePem;
    this.#key = key;
    const certificate = new X509Certificate(certificatePem);
    this.id = authorityId(certificate);
    this.notBefore = certificate.validFromDate;
    this.#subject = subjectOf(certificate);
    this.#spki = certificate.publicKey.export({ type: 'spki', format: 'der' });
  }

  /** @returns DER of a list of revoked certificates */
  revoke(request: CrlRequest): Buffer {
    return makeCrl(request, this.chainPem, this.#key);
  }

  /** Signs a leaf. The caller has already decided that its holder may have it. */
  issue(request: LeafRequest): Certificate {
    const altNames = [
      ...(request.uris ?? []).map((value) => ({ type: GENERAL_NAME.uri, value })),
      ...(request.dnsNames ?? []).map((value) => ({ type: GENERAL_NAME.dns, value })),
      ...(request.ipAddresses ?? []).map((ip) => ({ type: GENERAL_NAME.ip, ip })),
    ];
    return makeCertificate({
      subject: { commonName: request.commonName },
      issuer: this.#subject,
      spki: request.spki,
      signer: this.#key,
      issuerSpki: this.#spki,
      notBefore: request.notBefore,
      notAfter: request.notAfter,
      extensions: [
        { name: 'basicConstraints', cA: false, critical: true },
        { name: 'keyUsage', digitalSignature: true, critical: true },
        {
          name: 'extKeyUsage',
          ...(request.usage === 'client' ? { clientAuth: true } : { serverAuth: true }),
        },
        ...(altNames.length === 0 ? [] : [{ name: 'subjectAltName', altNames }]),
      ],
    });
  }
}

function subjectOf(certificate: X509Certificate): DistinguishedName {
  const fields = new Map(
    certificate.subject.split('\n').map((line) => {
      const at = line.indexOf('=');
      return [line.slice(0, at), line.slice(at + 1)] as const;
    }),
  );
  const organization = fields.get('O');
  return { commonName: fields.get('CN') ?? '', ...(organization === undefined ? {} : { organization }) };
}

async function readKeyFile(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new BootwaveError({
      code: 'KEYS_MISSING',
      what: `the key file ${path} cannot be read`,
      next:
        (cause as NodeJS.ErrnoException).code === 'EACCES'
          ? 'run it as root: this user may not read it'
          : `run 'bootwave keys init', which makes only what is missing`,
      cause,
    });
  }
}

/**
 * The first CA of a name; generations.ts handles those that were prepared later.
 * @throws BootwaveError `KEYS_MISSING`; `KEYS_MISMATCH` when the certificate on disk does not belong to the key on disk
 */
export function loadAuthority(keysFolder: string, name: AuthorityName): Promise<Authority> {
  return loadAuthorityFrom(name, keyLayout(keysFolder).ca[name]);
}

/** @throws as `loadAuthority` */
export async function loadAuthorityFrom(
  name: AuthorityName,
  files: { key: string; certificate: string },
): Promise<Authority> {
  const pem = await readKeyFile(files.certificate);
  const key = createPrivateKey(await readKeyFile(files.key));
  if (!new X509Certificate(pem).checkPrivateKey(key)) {
    throw new BootwaveError({
      code: 'KEYS_MISMATCH',
      what: `${files.certificate} does not belong to ${files.key}`,
      next: 'restore both files from the same backup',
    });
  }
  return new Authority(name, pem, key);
}

/** PEM of the fleet's root certificate, the one thing that every image and every node trusts. */
export async function rootPem(keysFolder: string): Promise<string> {
  return readKeyFile(keyLayout(keysFolder).ca.root.certificate);
}

/** DER SubjectPublicKeyInfo of a key, private or public. */
export function spkiOf(key: KeyObject): Buffer {
  return (key.type === 'public' ? key : createPublicKey(key)).export({ type: 'spki', format: 'der' });
}
