import { X509Certificate } from 'node:crypto';
import { mkdir, readdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { BootwaveError } from '../base/error.ts';
import { fingerprintOf } from './authority.ts';

/** Bytes of one file; a maker's bundle of all its CAs is far smaller. */
const FILE_BYTES = 1024 * 1024;
const PEM = /-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/g;

export type TpmRoot = {
  file: string;
  subject: string;
  /** SHA-256 of the certificate, hex. */
  fingerprint: string;
  /** Milliseconds since the epoch. */
  notAfter: number;
};

/**
 * The CAs of TPM makers that the operator trusts, as `*.pem` in one folder. Every certificate there is a trust anchor
 * (RFC 5280 6.1.1 (d)), so a maker's intermediate CA may stand there without its root.
 */
export class TpmRoots {
  readonly #folder: string;
  #read: { changed: number; at: number; roots: readonly X509Certificate[] } | null = null;

  /** @param folder need not exist */
  constructor(folder: string) {
    this.#folder = folder;
  }

  /**
   * All of them, read again when the folder has changed: a new root counts without a restart.
   * @throws BootwaveError `TPM_ROOT_INVALID` naming the file that holds no certificate
   */
  async current(): Promise<readonly X509Certificate[]> {
    const changed = await stat(this.#folder).then(
      ({ mtimeMs }) => mtimeMs,
      () => null,
    );
    if (changed === null) return [];
    // Within one tick of the file system's clock a folder may change twice and keep its modification time.
    if (this.#read?.changed === changed && this.#read.at - changed > 2000) return this.#read.roots;
    const at = Date.now();
    const roots: X509Certificate[] = [];
    for (const file of await this.#files()) roots.push(...(await this.#certificatesIn(file)));
    this.#read = { changed, at, roots };
    return roots;
  }

  async list(): Promise<TpmRoot[]> {
    const found: TpmRoot[] = [];
    for (const file of await this.#files()) {
      for (const root of await this.#certificatesIn(file)) found.push(shown(file, root));
    }
    return found;
  }

  /**
   * Copies the CA certificates of a file into the folder, one file each; those that are there already are kept.
   * @param content PEM, one or more, or one in DER
   * @throws BootwaveError `TPM_ROOT_INVALID`; nothing is added then
   */
  async add(content: Buffer): Promise<TpmRoot[]> {
    const certificates = certificatesOf(content, 'the file');
    const foreign = certificates.find((certificate) => !certificate.ca);
    if (foreign !== undefined) throw invalid(`${oneLine(foreign.subject)} is not a CA certificate`);
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    const added: TpmRoot[] = [];
    for (const certificate of certificates) {
      const root = shown('', certificate);
      root.file = `${root.fingerprint.slice(0, 16)}.pem`;
      const path = join(this.#folder, root.file);
      await writeFile(`${path}.new`, certificate.toString(), { mode: 0o644 });
      await rename(`${path}.new`, path);
      added.push(root);
    }
    return added;
  }

  async #files(): Promise<string[]> {
    const names = await readdir(this.#folder).catch(() => []);
    return names.filter((name) => name.endsWith('.pem')).sort();
  }

  async #certificatesIn(file: string): Promise<X509Certificate[]> {
    return certificatesOf(await readFile(join(this.#folder, file)), join(this.#folder, file));
  }
}

function certificatesOf(content: Buffer, name: string): X509Certificate[] {
  try {
    if (content.length > FILE_BYTES) throw new Error(`${content.length} bytes`);
    const pems = content.toString('latin1').match(PEM);
    return pems === null ? [new X509Certificate(content)] : pems.map((pem) => new X509Certificate(pem));
  } catch (cause) {
    throw invalid(`${name} holds no certificate`, cause);
  }
}

function invalid(what: string, cause?: unknown): BootwaveError {
  return new BootwaveError({
    code: 'TPM_ROOT_INVALID',
    what,
    unchanged: 'the configured roots',
    next: 'the maker of the TPM publishes its CA certificates, as PEM or DER',
    cause,
  });
}

const shown = (file: string, root: X509Certificate): TpmRoot => ({
  file,
  subject: oneLine(root.subject),
  fingerprint: fingerprintOf(root),
  notAfter: root.validToDate.getTime(),
});

/** A name from outside, made safe for a terminal: one line, no control characters, at most 128 characters. */
export function oneLine(name: string): string {
  return name
    .replaceAll('\n', ', ')
    .replace(/\p{Cc}/gu, '?')
    .slice(0, 128)
    .toWellFormed();
}
