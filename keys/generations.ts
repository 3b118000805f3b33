/** The issuing CAs that a fleet has had: the first one, and those that were prepared to replace it. */
import { createPrivateKey, generateKeyPair, type KeyObject, X509Certificate } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { createFileAtomic } from '../base/files.ts';
import { type Authority, authorityId, loadAuthorityFrom } from './authority.ts';
import { authorityCertificate, RSA_BITS } from './init.ts';
import { type AuthorityName, keyLayout } from './layout.ts';

export type Generation = {
  ca: AuthorityName;
  /** See `authorityId`; part of the name of its files, except for those of the first CA. */
  id: string;
  pem: string;
  certificate: X509Certificate;
  files: { key: string; certificate: string };
};

const ID = /^[0-9a-f]{16}$/;

/**
 * All that are on disk, oldest first. Not counted: one whose certificate was never made because of a crash, and one
 * that was not issued by this fleet's root.
 */
export async function generationsOf(keysFolder: string, ca: AuthorityName): Promise<Generation[]> {
  const first = keyLayout(keysFolder).ca[ca];
  const folder = dirname(first.certificate);
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
  const later = names.flatMap((name) => {
    const id = name.startsWith(`${ca}-`) && name.endsWith('.crt') ? name.slice(ca.length + 1, -4) : '';
    return ID.test(id) ? [filesOf(folder, ca, id)] : [];
  });
  const root = await readFile(keyLayout(keysFolder).ca.root.certificate).catch(() => null);
  const found: Generation[] = [];
  for (const files of [first, ...later]) {
    const pem = await readFile(files.certificate, 'utf8').catch(() => null);
    if (pem === null) continue;
    const certificate = new X509Certificate(pem);
    if (root !== null && !certificate.verify(new X509Certificate(root).publicKey)) continue;
    found.push({ ca, id: authorityId(certificate), pem, certificate, files });
  }
  const [one, ...others] = found;
  const age = ({ certificate }: Generation) => certificate.validFromDate.getTime();
  return one === undefined ? [] : [one, ...others.sort((a, b) => age(a) - age(b) || (a.id < b.id ? -1 : 1))];
}

/** Makes another CA beside those that exist. The key is written first: a certificate on disk always has its key. */
export async function makeGeneration(keysFolder: string, ca: AuthorityName): Promise<Generation> {
  const layout = keyLayout(keysFolder);
  const folder = dirname(layout.ca[ca].certificate);
  const [rootKey, rootCertificate] = await Promise.all([
    readFile(layout.ca.root.key, 'utf8'),
    readFile(layout.ca.root.certificate, 'utf8'),
  ]);
  const { privateKey, publicKey } = await promisify(generateKeyPair)('rsa', {
    modulusLength: RSA_BITS.issuing,
  });
  const spki = publicKey.export({ type: 'spki', format: 'der' });
  const root = new X509Certificate(rootCertificate);
  // As early as the root, as nodes whose clocks are behind need it, and later than those before it: that is their order.
  const last = (await generationsOf(keysFolder, ca)).at(-1)?.certificate.validFromDate ?? root.validFromDate;
  const since = new Date(last.getTime() + 1000);
  const pem = authorityCertificate(ca, spki, createPrivateKey(rootKey), root, since);
  const certificate = new X509Certificate(pem);
  const id = authorityId(certificate);
  const files = filesOf(folder, ca, id);
  await createFileAtomic(files.key, privateKey.export({ type: 'pkcs8', format: 'pem' }) as string);
  await createFileAtomic(files.certificate, pem, 0o644);
  return { ca, id, pem, certificate, files };
}

/** @throws BootwaveError `KEYS_MISSING`, `KEYS_MISMATCH` */
export function openGeneration({ ca, files }: Generation): Promise<Authority> {
  return loadAuthorityFrom(ca, files);
}

function filesOf(folder: string, ca: AuthorityName, id: string): Generation['files'] {
  return { key: join(folder, `${ca}-${id}.key`), certificate: join(folder, `${ca}-${id}.crt`) };
}

/** Private keys of all generations whose key is on this machine, oldest first: another server may not have the newest yet. */
export async function heldKeys(keysFolder: string, ca: AuthorityName): Promise<KeyObject[]> {
  const found: KeyObject[] = [];
  for (const { files } of await generationsOf(keysFolder, ca)) {
    const pem = await readFile(files.key, 'utf8').catch(() => null);
    if (pem !== null) found.push(createPrivateKey(pem));
  }
  return found;
}
