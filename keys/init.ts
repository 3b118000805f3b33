import {
  createPrivateKey,
  createPublicKey,
  generateKeyPair,
  type KeyObject,
  randomUUID,
  X509Certificate,
} from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import { dirname, relative } from 'node:path';
import { promisify } from 'node:util';
import ssh2 from 'ssh2';
import { createFileAtomic } from '../base/files.ts';
import { freshAtRest } from './at-rest.ts';
import { AUTHORITY_COMMON_NAME, spkiOf } from './authority.ts';
import { type DistinguishedName, makeCertificate } from './certificate.ts';
import { certificateList, signedUpdate } from './efitools.ts';
import {
  AUTHORITIES,
  type AuthorityName,
  type KeyLayout,
  keyLayout,
  SECURE_BOOT_VARIABLES,
} from './layout.ts';
import { initReleaseKeys } from './release/init.ts';
import { sshKeyOf } from './ssh-key.ts';

const generate = promisify(generateKeyPair);

export type InitResult = { folder: string; created: string[]; kept: string[] };

const YEAR = 365.25 * 24 * 3600_000;
/** Bits. The root lives longest; the issuing CAs sign most; firmware in the field reliably supports only 2048. */
export const RSA_BITS = { root: 3072, issuing: 2048, secureBoot: 2048, pcr: 2048 } as const;
/** Years. Firmware does not check dates, and an expired PK would only worry people. */
const YEARS = { root: 20, issuing: 10, secureBoot: 30 } as const;

/**
 * Makes every key and certificate that is missing below `folder` and never touches one that is there, so it can be
 * run again at any time: after an interruption, or when a newer release needs one more key.
 */
export async function initKeys(folder: string): Promise<InitResult> {
  const layout = keyLayout(folder);
  const result: InitResult = { folder, created: [], kept: [] };
  const ensure = ensureIn(folder, result);
  for (const path of [
    layout.ca.root.key,
    layout.secureBoot.owner,
    layout.ssh.key,
    layout.pcr.key,
    layout.order.key,
    layout.secrets,
  ]) {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  }
  await initAuthorities(layout, ensure);
  await initSecureBoot(layout, ensure);
  await initSsh(layout, ensure);
  await initSigner(layout.pcr, ensure, () => rsaKey(RSA_BITS.pcr));
  await initSigner(layout.order, ensure, async () => pkcs8((await generate('ed25519')).privateKey));
  await ensure(layout.secrets, async () => freshAtRest());
  for (const file of await initReleaseKeys(folder)) result.created.push(relative(folder, file));
  return result;
}

/** Content of a file, made by `make` only when it is missing. */
type Ensure = (path: string, make: () => Promise<string | Uint8Array>, mode?: number) => Promise<Buffer>;

function ensureIn(folder: string, result: InitResult): Ensure {
  return async (path, make, mode = 0o600) => {
    const there = await readFile(path).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return null;
      throw error;
    });
    if (there !== null) {
      result.kept.push(relative(folder, path));
      return there;
    }
    const created = await createFileAtomic(path, await make(), mode);
    (created ? result.created : result.kept).push(relative(folder, path));
    // Another process may have won the race: what is on disk is the truth.
    return readFile(path);
  };
}

const PUBLIC = 0o644;

function pkcs8(key: KeyObject): string {
  return key.export({ type: 'pkcs8', format: 'pem' }) as string;
}

async function rsaKey(bits: number): Promise<string> {
  return pkcs8((await generate('rsa', { modulusLength: bits })).privateKey);
}

/** @param since an hour back by default: whose clock is a little behind must still accept it */
function validity(
  years: number,
  since = new Date(Date.now() - 3600_000),
): { notBefore: Date; notAfter: Date } {
  return { notBefore: since, notAfter: new Date(Date.now() + years * YEAR) };
}

/** The issuing CAs name their purpose in extKeyUsage too: OpenSSL then refuses a node's certificate as a server's. */
const AUTHORITY_USAGE = {
  nodes: { clientAuth: true },
  servers: { serverAuth: true },
  operators: { clientAuth: true },
} as const;

async function initAuthorities(layout: KeyLayout, ensure: Ensure): Promise<void> {
  const rootKey = createPrivateKey(await ensure(layout.ca.root.key, () => rsaKey(RSA_BITS.root)));
  const rootName: DistinguishedName = { commonName: AUTHORITY_COMMON_NAME.root };
  const rootSpki = spkiOf(rootKey);
  await ensure(
    layout.ca.root.certificate,
    async () =>
      makeCertificate({
        subject: rootName,
        issuer: rootName,
        spki: rootSpki,
        signer: rootKey,
        ...validity(YEARS.root),
        extensions: [
          { name: 'basicConstraints', cA: true, pathLenConstraint: 1, critical: true },
          { name: 'keyUsage', keyCertSign: true, cRLSign: true, critical: true },
        ],
      }).pem,
    PUBLIC,
  );
  for (const name of AUTHORITIES) {
    const key = createPrivateKey(await ensure(layout.ca[name].key, () => rsaKey(RSA_BITS.issuing)));
    await ensure(
      layout.ca[name].certificate,
      async () =>
        authorityCertificate(
          name,
          spkiOf(key),
          rootKey,
          new X509Certificate(await readFile(layout.ca.root.certificate)),
        ),
      PUBLIC,
    );
  }
}

/**
 * PEM of an issuing CA, by the root.
 * @param since it begins with the root by default, the earliest time that a node of the fleet has (clock-epoch in its image):
 * a machine whose clock is behind must accept what this CA signs
 */
export function authorityCertificate(
  name: AuthorityName,
  spki: Uint8Array,
  rootKey: KeyObject,
  root: X509Certificate,
  since: Date = root.validFromDate,
): string {
  return makeCertificate({
    subject: { commonName: AUTHORITY_COMMON_NAME[name] },
    issuer: { commonName: AUTHORITY_COMMON_NAME.root },
    issuerSpki: root.publicKey.export({ type: 'spki', format: 'der' }),
    spki,
    signer: rootKey,
    ...validity(YEARS.issuing, since),
    extensions: [
      { name: 'basicConstraints', cA: true, pathLenConstraint: 0, critical: true },
      { name: 'keyUsage', keyCertSign: true, cRLSign: true, critical: true },
      { name: 'extKeyUsage', ...AUTHORITY_USAGE[name] },
    ],
  }).pem;
}

async function initSecureBoot(layout: KeyLayout, ensure: Ensure): Promise<void> {
  const { owner, variables } = layout.secureBoot;
  const guid = (await ensure(owner, async () => `${randomUUID()}\n`, PUBLIC)).toString('utf8').trim();
  for (const name of SECURE_BOOT_VARIABLES) {
    const key = createPrivateKey(await ensure(variables[name].key, () => rsaKey(RSA_BITS.secureBoot)));
    await ensure(variables[name].certificate, async () => secureBootCertificate(name, guid, key), PUBLIC);
  }
  for (const name of SECURE_BOOT_VARIABLES) {
    const files = variables[name];
    await ensure(files.esl, () => certificateList(guid, files.certificate), PUBLIC);
    // The signature contains its time. It is made once and kept, so that every image carries the same bytes.
    await ensure(files.auth, () => signedUpdate(layout, guid, name, files.esl), PUBLIC);
  }
}

/** PEM, self-signed: firmware compares certificates and builds no chains of these. @param owner GUID */
export function secureBootCertificate(name: string, owner: string, key: KeyObject): string {
  const subject = { commonName: `Bootwave Secure Boot ${name}`, organization: owner };
  return makeCertificate({
    subject,
    issuer: subject,
    spki: spkiOf(key),
    signer: key,
    ...validity(YEARS.secureBoot),
    extensions: [{ name: 'basicConstraints', cA: false, critical: true }],
  }).pem;
}

async function initSsh(layout: KeyLayout, ensure: Ensure): Promise<void> {
  const secret = await ensure(
    layout.ssh.key,
    async () => sshKeyOf((await generate('ed25519')).privateKey, 'bootwave orchestrator').file,
  );
  await ensure(layout.ssh.pub, async () => sshPublicLine(secret), PUBLIC);
}

function sshPublicLine(secret: Buffer): string {
  const parsed = ssh2.utils.parseKey(secret);
  if (parsed instanceof Error) throw parsed;
  return `${parsed.type} ${parsed.getPublicSSH().toString('base64')} bootwave orchestrator\n`;
}

async function initSigner(
  files: { key: string; pub: string },
  ensure: Ensure,
  make: () => Promise<string>,
): Promise<void> {
  const secret = createPrivateKey(await ensure(files.key, make));
  await ensure(
    files.pub,
    async () => createPublicKey(secret).export({ type: 'spki', format: 'pem' }) as string,
    PUBLIC,
  );
}
