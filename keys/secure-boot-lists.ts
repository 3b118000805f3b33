/**
 * What the fleet forbids its machines' firmware to start. Each change makes the next generation: dbx as a whole, signed
 * by KEK, in files of its own. `lists.json` says which generation is in force and is written last, so whoever is killed
 * before that has changed nothing.
 */
import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { BootwaveError } from '../base/error.ts';
import { writeFileAtomic } from '../base/files.ts';
import { digestList, forbiddenDigests, signatureListsOf } from '../image/secure-boot-lists.ts';
import { signedUpdate } from './efitools.ts';
import { keyLayout } from './layout.ts';

/** 6 KiB of dbx: the smallest firmware takes some 10 KiB in one authenticated write (EDK II, PcdMaxAuthVariableSize). */
export const MOST_REVOKED = 128;

const revokedSchema = z.object({
  /** Version of the image. */
  version: z.string(),
  /** Authenticode SHA-256 of its file, hex. */
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  reason: z.string(),
  /** Who revoked it. */
  by: z.string(),
  /** Milliseconds since the epoch. */
  at: z.int(),
});
export type Revoked = z.infer<typeof revokedSchema>;

const fileSchema = z.object({
  generation: z.int().positive(),
  /** EFI_TIME of the signed update, milliseconds since the epoch, whole seconds. */
  timestamp: z.int(),
  revoked: z.array(revokedSchema).min(1),
});

export type FleetLists = {
  /** 0: nothing was ever revoked, and there is no dbx. */
  generation: number;
  revoked: Revoked[];
  /** The signed update of dbx; null in generation 0. */
  dbx: Buffer | null;
};

/**
 * @param folder of the keys
 * @throws BootwaveError `SECURE_BOOT_LISTS_INVALID` when the files are not whole, or say different things
 */
export async function readFleetLists(folder: string): Promise<FleetLists> {
  const { lists, dbx: filesOf } = keyLayout(folder).secureBoot;
  const state = await readState(lists);
  if (state === null) return { generation: 0, revoked: [], dbx: null };
  const { generation, revoked } = state;
  const { auth } = filesOf(generation);
  const dbx = await readFile(auth).catch((cause) => invalid(auth, cause));
  if (!holdsExactly(dbx, revoked)) invalid(auth);
  return { generation, revoked, dbx };
}

/**
 * Forbids one more image. The caller keeps others from doing so at the same time.
 * @returns the lists then in force; those of before when that version is revoked already
 * @throws BootwaveError `SECURE_BOOT_LISTS_INVALID`, `SECURE_BOOT_LISTS_FULL`, `COMMAND_FAILED`; the old ones stay in
 * force then
 */
export async function revokeAtFirmware(folder: string, image: Revoked): Promise<FleetLists> {
  const layout = keyLayout(folder);
  const before = await readFleetLists(folder);
  if (before.revoked.some(({ version }) => version === image.version)) return before;
  const revoked = [...before.revoked, image];
  if (revoked.length > MOST_REVOKED) {
    throw new BootwaveError({
      code: 'SECURE_BOOT_LISTS_FULL',
      what: `${MOST_REVOKED} images are revoked, and firmware keeps no longer list for sure`,
      unchanged: `generation ${before.generation} of the Secure Boot lists stays in force`,
      next: "keep nodes off old images by 'bootwave rollout floor'",
    });
  }
  const generation = before.generation + 1;
  const timestamp = after((await readState(layout.secureBoot.lists))?.timestamp ?? 0, image.at);
  const owner = (await readFile(layout.secureBoot.owner, 'utf8')).trim();
  const { esl, auth } = layout.secureBoot.dbx(generation);
  const list = digestList(
    owner,
    revoked.map(({ sha256 }) => sha256),
  );
  await writeFileAtomic(esl, list, 0o644);
  const dbx = await signedUpdate(layout, owner, 'dbx', esl, timestamp);
  await writeFileAtomic(auth, dbx, 0o644);
  const state: z.infer<typeof fileSchema> = { generation, timestamp, revoked };
  await writeFileAtomic(layout.secureBoot.lists, `${JSON.stringify(state, null, 2)}\n`, 0o644);
  return { generation, revoked, dbx };
}

/** Firmware refuses an update that is not later than the one before, and counts in seconds (UEFI 2.10, 8.2.2). */
function after(last: number, now: number): number {
  return Math.max(Math.floor(now / 1000) * 1000, last + 1000);
}

async function readState(path: string): Promise<z.infer<typeof fileSchema> | null> {
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw error;
  });
  if (text === null) return null;
  try {
    return fileSchema.parse(JSON.parse(text));
  } catch (cause) {
    return invalid(path, cause);
  }
}

function holdsExactly(dbx: Buffer, revoked: readonly Revoked[]): boolean {
  try {
    const digests = forbiddenDigests(signatureListsOf(dbx));
    return digests.size === revoked.length && revoked.every(({ sha256 }) => digests.has(sha256));
  } catch {
    return false;
  }
}

function invalid(path: string, cause?: unknown): never {
  throw new BootwaveError({
    code: 'SECURE_BOOT_LISTS_INVALID',
    what: `${path} is not what 'bootwave keys secure-boot revoke' has written`,
    unchanged: 'no image was built or revoked',
    next: 'restore the keys from their newest backup',
    cause,
  });
}
