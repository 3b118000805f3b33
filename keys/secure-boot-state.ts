/**
 * `lists.json`: which generation of the fleet's Secure Boot lists is in force, what it revokes, and which db
 * certificates the fleet has had. It is written after all other files, so a process that is killed before that has
 * changed nothing.
 */

import { createHash, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { BootwaveError } from '../base/error.ts';
import { writeFileAtomic } from '../base/files.ts';
import { SHA256_HEX } from '../formats/digest.ts';
import { keyLayout } from './layout.ts';

const revokedSchema = z.object({
  /** Version of the image. */
  version: z.string(),
  /** Authenticode SHA-256 of its file, hex. */
  sha256: z.string().regex(SHA256_HEX),
  reason: z.string(),
  /** Who revoked it. */
  by: z.string(),
  /** Milliseconds since the epoch. */
  at: z.int(),
});
export type Revoked = z.infer<typeof revokedSchema>;

/**
 * `next`: nodes are given it. `current`: it signs. `old`: it signed, and nodes still hold it. `retired`: they lose
 * it. `distrusted`: no node holds it any more, and a machine that does is no node of this fleet.
 */
const DB_STATES = ['next', 'current', 'old', 'retired', 'distrusted'] as const;

const dbEntrySchema = z.object({
  /** See `certificateId`. */
  id: z.string().regex(/^[0-9a-f]{16}$/),
  state: z.enum(DB_STATES),
  /** The step that brought it into this state; absent for the first certificate of a fleet, which no step made. */
  reason: z.string(),
  by: z.string(),
  /** Milliseconds since the epoch. */
  at: z.int(),
});
export type DbEntry = z.infer<typeof dbEntrySchema>;

const stateSchema = z
  .object({
    generation: z.int().positive(),
    /** EFI_TIME of the signed updates, milliseconds since the epoch, whole seconds. */
    timestamp: z.int(),
    revoked: z.array(revokedSchema),
    /** Oldest first; absent: the fleet has its first certificate and no other. */
    db: z
      .array(dbEntrySchema)
      .refine((all) => all.filter(({ state }) => state === 'current').length === 1)
      .refine((all) => new Set(all.map(({ id }) => id)).size === all.length)
      .optional(),
  })
  .refine(({ revoked, db }) => revoked.length > 0 || db !== undefined);
export type ListsState = z.infer<typeof stateSchema>;

export type DbCertificate = DbEntry & {
  /** DER. */
  der: Buffer;
  files: { key: string; certificate: string };
};

/** Whether it is in the db of the generation in force. */
export function isHeld({ state }: Pick<DbEntry, 'state'>): boolean {
  return state !== 'retired' && state !== 'distrusted';
}

/** Hex digits of an id: 64 bits. */
const ID_DIGITS = 16;

/** The id of a db certificate: the beginning of the SHA-256 of its DER, hex. */
export function certificateId(der: Uint8Array): string {
  return createHash('sha256').update(der).digest('hex').slice(0, ID_DIGITS);
}

/** @returns null in generation 0 @throws BootwaveError `SECURE_BOOT_LISTS_INVALID` */
export async function readListsState(folder: string): Promise<ListsState | null> {
  const { lists } = keyLayout(folder).secureBoot;
  const text = await readFile(lists, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw error;
  });
  if (text === null) return null;
  try {
    return stateSchema.parse(JSON.parse(text));
  } catch (cause) {
    return invalid(lists, cause);
  }
}

export async function writeListsState(folder: string, state: ListsState): Promise<void> {
  await writeFileAtomic(keyLayout(folder).secureBoot.lists, `${JSON.stringify(state, null, 2)}\n`, 0o644);
}

/**
 * Every db certificate that the fleet has had, oldest first; exactly one is `current`.
 * @throws BootwaveError `SECURE_BOOT_LISTS_INVALID` when a file is not the certificate that its id says; errors of the
 * file system when the first one is not there
 */
export async function dbCertificates(folder: string): Promise<DbCertificate[]> {
  const { variables, dbKey } = keyLayout(folder).secureBoot;
  const { key, certificate } = variables.db;
  const first = { files: { key, certificate }, der: await derOf(certificate) };
  const firstId = certificateId(first.der);
  const entries = (await readListsState(folder))?.db;
  if (entries === undefined)
    return [{ id: firstId, state: 'current', reason: 'the first one', by: '', at: 0, ...first }];
  return Promise.all(
    entries.map(async (entry) => {
      if (entry.id === firstId) return { ...entry, ...first };
      const files = dbKey(entry.id);
      const der = await derOf(files.certificate).catch((cause) => invalid(files.certificate, cause));
      if (certificateId(der) !== entry.id) invalid(files.certificate);
      return { ...entry, der, files };
    }),
  );
}

/** The one that signs images and loaders. @throws as `dbCertificates` */
export async function currentDb(folder: string): Promise<DbCertificate> {
  return (await dbCertificates(folder)).find(({ state }) => state === 'current')!;
}

async function derOf(path: string): Promise<Buffer> {
  return new X509Certificate(await readFile(path)).raw;
}

export function invalid(path: string, cause?: unknown): never {
  throw new BootwaveError({
    code: 'SECURE_BOOT_LISTS_INVALID',
    what: `${path} is not what 'bootwave keys secure-boot' has written`,
    unchanged: 'no image was built or revoked',
    next: 'restore the keys from their newest backup',
    cause,
  });
}
