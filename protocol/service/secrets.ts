/** Secrets of services: their names, how large they are, and how several of them travel together. Pure. */
// The mini build, because the agent's bundle holds this file.
import * as z from 'zod/mini';
import { refusal } from '../../base/error.ts';

export const SECRET_LIMITS = {
  /** Secrets of one version of a service. */
  names: 16,
  /** Bytes of one. */
  value: 16 * 1024,
  /** Bytes of all that one version is given: an answer fits the line that root reads (HELPER_LINE). */
  together: 24 * 1024,
} as const;

/** The name of a file: no dot at its beginning, no slash. */
export const secretNameSchema = z
  .string()
  .check(z.regex(/^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$/, { error: 'is not a name such as db-password' }));

/** Where an instance finds them, a file each. */
export const SECRETS_FOLDER = '/run/secrets';

/** Bytes that they take together. */
export const encodedBytes = (values: ReadonlyMap<string, Uint8Array>): number =>
  [...values].reduce((sum, [name, value]) => sum + 5 + name.length + value.length, 0);

/**
 * Values by name as bytes, not as JSON: bytes can be overwritten when they are not needed any more. Each is a byte with the
 * length of its name, the name, four bytes with the length of the value, the value.
 */
export function encodeSecrets(values: ReadonlyMap<string, Uint8Array>): Buffer {
  const bytes = Buffer.alloc(encodedBytes(values));
  let at = 0;
  for (const [name, value] of values) {
    at = bytes.writeUInt8(name.length, at);
    at += bytes.write(name, at, 'latin1');
    at = bytes.writeUInt32BE(value.length, at);
    bytes.set(value, at);
    at += value.length;
  }
  return bytes;
}

/**
 * @returns copies
 * @throws BootwaveError `SECRETS_MALFORMED`
 */
export function decodeSecrets(bytes: Buffer): Map<string, Buffer> {
  const values = new Map<string, Buffer>();
  let at = 0;
  const take = (length: number): Buffer => {
    if (at + length > bytes.length) throw malformed('a field reaches past their end');
    at += length;
    return bytes.subarray(at - length, at);
  };
  while (at < bytes.length) {
    const name = take(take(1).readUInt8()).toString('latin1');
    if (!secretNameSchema.safeParse(name).success) throw malformed('a name is none');
    if (values.has(name)) throw malformed('a name stands there twice');
    values.set(name, Buffer.from(take(take(4).readUInt32BE())));
    if (values.size > SECRET_LIMITS.names) throw malformed('there are too many');
  }
  return values;
}

/** Overwrites what is in them. */
export function forget(values: Iterable<Uint8Array>): void {
  for (const value of values) value.fill(0);
}

const malformed = (what: string) =>
  refusal(
    'SECRETS_MALFORMED',
    `the secrets cannot be read: ${what}`,
    'compare the versions of server and image',
  );
