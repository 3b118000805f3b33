/**
 * Secrets that the server has to read again, on its disk: each file is encrypted under a key that is made for it out of one
 * secret of the keys folder. A copy of the data without the keys folder tells nothing; one file never passes for another.
 */
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { BootwaveError } from '../base/error.ts';
import { createFileAtomic } from '../base/files.ts';

/** First bytes of such a file: says how the rest is to be read. */
const MAGIC = Buffer.from('bwrest1\n');
/** Bytes. */
const SALT = 32;
const NONCE = 12;
const TAG = 16;
const SECRET = 32;

/** The secret of a keys folder. Kept by whoever reads it for no longer than it takes. */
export type AtRestKey = { readonly secret: Buffer };

/** Content of such a file. */
export const freshAtRest = (): string => `${randomBytes(SECRET).toString('hex')}\n`;

/**
 * @param path of its file (layout.ts)
 * @param isFirst nothing was encrypted yet: it is made where there is none. A new one beside what an older one encrypted would
 * only hide that the older one is lost.
 * @throws BootwaveError `AT_REST_KEY`
 */
export async function atRestKey(path: string, isFirst: boolean): Promise<AtRestKey> {
  const there = () => readFile(path, 'utf8');
  const text = await there().catch(async (error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error;
    if (!isFirst) return '';
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    await createFileAtomic(path, freshAtRest());
    // Another process may have been first.
    return there();
  });
  if (/^[0-9a-f]{64}\n?$/.test(text)) return { secret: Buffer.from(text.trim(), 'hex') };
  throw new BootwaveError({
    code: 'AT_REST_KEY',
    what: `${path} is ${text === '' ? 'missing or empty' : 'no key for secrets at rest'}`,
    unchanged: 'nothing was encrypted anew, and what is encrypted was left as it is',
    next: 'restore it from the backup of the keys folder: what it encrypted cannot be read without it',
  });
}

/** @param purpose what it is for, and whose: only who names the same can open it */
export function seal(key: AtRestKey, purpose: string, plain: Uint8Array): Buffer {
  const [salt, nonce] = [randomBytes(SALT), randomBytes(NONCE)];
  const cipher = createCipheriv('aes-256-gcm', keyOf(key, salt, purpose), nonce);
  cipher.setAAD(Buffer.from(purpose));
  const body = Buffer.concat([cipher.update(plain), cipher.final()]);
  return Buffer.concat([MAGIC, salt, nonce, cipher.getAuthTag(), body]);
}

/** @returns null: it was changed, is for another purpose, or was made with another key */
export function unseal(key: AtRestKey, purpose: string, sealed: Uint8Array): Buffer | null {
  const bytes = Buffer.from(sealed);
  const parts = [MAGIC.length, SALT, NONCE, TAG];
  if (bytes.length < parts.reduce((a, b) => a + b)) return null;
  let at = 0;
  const [magic, salt, nonce, tag] = parts.map((length) => {
    at += length;
    return bytes.subarray(at - length, at);
  });
  if (!magic!.equals(MAGIC)) return null;
  const decipher = createDecipheriv('aes-256-gcm', keyOf(key, salt!, purpose), nonce!);
  decipher.setAAD(Buffer.from(purpose));
  decipher.setAuthTag(tag!);
  try {
    return Buffer.concat([decipher.update(bytes.subarray(at)), decipher.final()]);
  } catch {
    return null;
  }
}

/** A key of its own for each file (RFC 5869): no two files share a nonce, whatever is random about it. */
const keyOf = ({ secret }: AtRestKey, salt: Uint8Array, purpose: string): Buffer =>
  Buffer.from(hkdfSync('sha256', secret, salt, `bootwave at rest\0${purpose}`, 32));

/** A key that is never kept: the same for the same purpose. @returns 32 bytes, which the caller overwrites */
export const derivedKey = ({ secret }: AtRestKey, purpose: string): Buffer =>
  Buffer.from(hkdfSync('sha256', secret, '', `bootwave derived\0${purpose}`, 32));
