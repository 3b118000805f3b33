import { createHash, createPublicKey, X509Certificate } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { relative } from 'node:path';
import ssh2 from 'ssh2';
import { fingerprintOf } from './authority.ts';
import { generationsOf } from './generations.ts';
import { AUTHORITIES, keyLayout } from './layout.ts';
import { dbCertificates, isHeld } from './secure-boot-state.ts';

export type ShownKey = {
  file: string;
  kind: 'certificate' | 'public key';
  /** Subject of a certificate, comment or algorithm of a key. */
  name: string;
  /** SHA-256 of the certificate or of the SubjectPublicKeyInfo, hex. */
  fingerprint: string;
  /** Milliseconds since the epoch; null where nothing expires. */
  notAfter: number | null;
  /** What is wrong with it, in words; empty when nothing is. */
  problems: string[];
};

/** What the public files say, and whether each has its secret beside it, unreadable for others. Reads no secret. */
export async function showKeys(folder: string): Promise<ShownKey[]> {
  const layout = keyLayout(folder);
  const shown: ShownKey[] = [];
  const later = await Promise.all(AUTHORITIES.map(async (ca) => (await generationsOf(folder, ca)).slice(1)));
  const certificates = [
    ...Object.values(layout.ca),
    ...later.flat().map(({ files }) => files),
    ...Object.values(layout.secureBoot.variables),
    ...(await laterDb(folder)),
  ];
  for (const { key, certificate } of certificates) {
    shown.push(
      await show(certificate, key, (content) => {
        const parsed = new X509Certificate(content);
        return {
          kind: 'certificate',
          name: parsed.subject.replaceAll('\n', ', '),
          fingerprint: fingerprintOf(parsed),
          notAfter: new Date(parsed.validTo).getTime(),
        };
      }),
    );
  }
  for (const { key, pub } of [layout.pcr, layout.order]) {
    shown.push(
      await show(pub, key, (content) => {
        const parsed = createPublicKey(content);
        const der = parsed.export({ type: 'spki', format: 'der' });
        return {
          kind: 'public key',
          name: parsed.asymmetricKeyType ?? 'unknown',
          fingerprint: createHash('sha256').update(der).digest('hex'),
          notAfter: null,
        };
      }),
    );
  }
  shown.push(
    await show(layout.ssh.pub, layout.ssh.key, (content) => {
      const parsed = ssh2.utils.parseKey(content);
      if (parsed instanceof Error) throw parsed;
      return {
        kind: 'public key',
        name: parsed.type,
        fingerprint: createHash('sha256').update(parsed.getPublicSSH()).digest('hex'),
        notAfter: null,
      };
    }),
  );
  return shown.map((entry) => ({ ...entry, file: relative(folder, entry.file) }));
}

/** Those that replaced the first one; the key of a retired one may be gone. */
async function laterDb(folder: string): Promise<{ key: string; certificate: string }[]> {
  const all = await dbCertificates(folder).catch(() => []);
  return all.slice(1).flatMap((certificate) => (isHeld(certificate) ? [certificate.files] : []));
}

async function show(
  file: string,
  secret: string,
  read: (content: Buffer) => Omit<ShownKey, 'file' | 'problems'>,
): Promise<ShownKey> {
  const problems: string[] = [];
  const status = await stat(secret).catch(() => null);
  if (status === null) problems.push('its private key is missing');
  else if ((status.mode & 0o077) !== 0) problems.push('its private key can be read by others (chmod 600)');
  try {
    const facts = read(await readFile(file));
    if (facts.notAfter !== null && facts.notAfter < Date.now()) problems.push('expired');
    return { file, ...facts, problems };
  } catch {
    problems.push('missing or unreadable');
    return { file, kind: 'public key', name: '', fingerprint: '', notAfter: null, problems };
  }
}
