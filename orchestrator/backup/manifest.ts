/**
 * The end of a backup: what is in it, signed by the fleet's root key. Encryption shows nothing of who made a backup: whoever
 * has the public key can make one.
 */

import { createPrivateKey, sign, verify, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { BootwaveError } from '../../base/error.ts';
import { jsonIn } from '../../base/json.ts';
import { SHA256_HEX } from '../../formats/digest.ts';
import { fingerprintOf, rootPem } from '../../keys/authority.ts';
import { keyLayout } from '../../keys/layout.ts';

/** Raised when a version before could not restore it. */
export const FORMAT = 1;

/** Names of what is in an archive. */
export const HEAD = 'bootwave-backup.json';
/** Before the path of a file of the data directory. */
export const DATA = 'data/';
export const RECORDS = 'redis.rdb/';
export const MANIFEST = 'manifest.json';
export const SIGNATURE = 'manifest.sig';

/** The same key signs certificates: no certificate begins like this (DER begins with 0x30). */
const CONTEXT = 'bootwave backup\n';

export const headSchema = z.object({ bootwaveBackup: z.int() });

const entrySchema = z.object({
  path: z.string(),
  /** Bytes. */
  size: z.int().min(0),
  /** Hex; of a symbolic link: of where it points. */
  sha256: z.string(),
});
export type Entry = z.infer<typeof entrySchema>;

const manifestSchema = z.object({
  format: z.literal(FORMAT),
  /** SHA-256 of the fleet's root certificate, hex. */
  fleet: z.string().regex(SHA256_HEX),
  host: z.string(),
  /** Milliseconds since the epoch: nothing that happened after `began` is certain to be in it. */
  began: z.number(),
  ended: z.number(),
  /** Images and bundles are in it. */
  large: z.boolean(),
  /** In their order in the archive. */
  entries: z.array(entrySchema),
});
export type Manifest = z.infer<typeof manifestSchema>;

/** @param keys folder @throws BootwaveError `KEYS_MISSING` */
export const fleetOf = async (keys: string): Promise<string> =>
  fingerprintOf(new X509Certificate(await rootPem(keys)));

/** @param keys folder @returns base64 */
export async function signManifest(keys: string, text: string): Promise<string> {
  const { key } = keyLayout(keys).ca.root;
  const pem = await readFile(key, 'utf8').catch((cause: unknown) => {
    throw new BootwaveError({
      code: 'KEYS_MISSING',
      what: `the root key ${key} cannot be read, and nobody can restore a backup that it has not signed`,
      unchanged: 'no backup was made',
      next: 'make the backup on the machine that has it, as root',
      cause,
    });
  });
  return sign('sha256', Buffer.from(CONTEXT + text), createPrivateKey(pem)).toString('base64');
}

/**
 * @param root PEM of the root certificate that was in the backup
 * @param fleet fingerprint that the restoring person knows
 * @throws BootwaveError `RESTORE_FOREIGN`, `RESTORE_FORGED`
 */
export function readManifest(text: string, signature: string, root: string, fleet: string): Manifest {
  const certificate = new X509Certificate(root);
  const found = fingerprintOf(certificate);
  if (found !== fleet)
    throw new BootwaveError({
      code: 'RESTORE_FOREIGN',
      what: `this is a backup of another fleet: its root certificate is ${found}`,
      unchanged: 'nothing was restored',
      next: 'compare it with the fingerprint that was shown when the backup was made',
    });
  const manifest = verify(
    'sha256',
    Buffer.from(CONTEXT + text),
    certificate.publicKey,
    Buffer.from(signature, 'base64'),
  )
    ? manifestSchema.safeParse(jsonIn(text)).data
    : undefined;
  if (manifest?.fleet === fleet) return manifest;
  throw forged('the key of this fleet has not signed what it says of itself');
}

/** Whoever has the public key and a copy of something can make such a file. */
export const forged = (what: string): BootwaveError =>
  new BootwaveError({
    code: 'RESTORE_FORGED',
    what: `this backup was not made by your fleet as it is: ${what}`,
    unchanged: 'nothing was restored',
    next: 'take another backup, and find out who could write to this one',
  });
