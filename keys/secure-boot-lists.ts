/**
 * What the firmware of the fleet's machines may start, and what it must not. Each change makes the next generation: db
 * and dbx as a whole, signed by KEK, in files of its own.
 */
import { readFile } from 'node:fs/promises';
import { BootwaveError } from '../base/error.ts';
import { writeFileAtomic } from '../base/files.ts';
import {
  digestList,
  forbiddenDigests,
  LISTS_MALFORMED,
  signatureListsOf,
} from '../formats/efi/secure-boot-lists.ts';
import { signatureEntries, X509 } from '../formats/efi/signature-lists.ts';
import { certificateList, signedUpdate } from './efitools.ts';
import { type KeyLayout, keyLayout } from './layout.ts';
import {
  type DbCertificate,
  dbCertificates,
  invalid,
  isHeld,
  type ListsState,
  type Revoked,
  readListsState,
  writeListsState,
} from './secure-boot-state.ts';

export type { Revoked } from './secure-boot-state.ts';

/** 6 KiB of dbx: the smallest firmware takes some 10 KiB in one authenticated write (EDK II, PcdMaxAuthVariableSize). */
export const MOST_REVOKED = 128;

export type FleetLists = {
  /** 0: nothing ever changed, and there are no lists. */
  generation: number;
  revoked: Revoked[];
  /** The signed update of db; null while the fleet has had one db certificate only, which every machine got first. */
  db: Buffer | null;
  /** The signed update of dbx; null while nothing is revoked. */
  dbx: Buffer | null;
};

/**
 * @param folder of the keys
 * @throws BootwaveError `SECURE_BOOT_LISTS_INVALID` when the files are incomplete or contradict each other
 */
export async function readFleetLists(folder: string): Promise<FleetLists> {
  const layout = keyLayout(folder).secureBoot;
  const state = await readListsState(folder);
  if (state === null) return { generation: 0, revoked: [], db: null, dbx: null };
  const { generation, revoked } = state;
  const read = async ({ auth }: { auth: string }, isIt: (update: Buffer) => boolean) => {
    const update = await readFile(auth).catch((cause) => invalid(auth, cause));
    if (!isIt(update)) invalid(auth);
    return update;
  };
  const held = state.db === undefined ? [] : heldBy(await dbCertificates(folder));
  return {
    generation,
    revoked,
    db: held.length === 0 ? null : await read(layout.db(generation), (db) => lets(db, held)),
    dbx: revoked.length === 0 ? null : await read(layout.dbx(generation), (dbx) => forbids(dbx, revoked)),
  };
}

/**
 * Revokes one more image. The caller keeps others from doing so at the same time.
 * @returns the lists then in force; the lists before when that version is revoked already
 * @throws BootwaveError `SECURE_BOOT_LISTS_INVALID`, `SECURE_BOOT_LISTS_FULL`, `COMMAND_FAILED`; the old lists stay in
 * force then
 */
export async function revokeAtFirmware(folder: string, image: Revoked): Promise<FleetLists> {
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
  const db = (await readListsState(folder))?.db;
  return nextGeneration(folder, { revoked, ...(db === undefined ? {} : { db }) }, image.at);
}

/**
 * Signs both lists for the new state, then puts them in force. Both are signed again, even the one that does not
 * change: otherwise an older image of any generation could hold an update that is later than this one.
 * @param at milliseconds since the epoch
 * @throws BootwaveError `SECURE_BOOT_LISTS_INVALID`, `COMMAND_FAILED`; the old lists stay in force then
 */
export async function nextGeneration(
  folder: string,
  next: Pick<ListsState, 'revoked' | 'db'>,
  at: number,
): Promise<FleetLists> {
  const layout = keyLayout(folder);
  const last = await readListsState(folder);
  const generation = (last?.generation ?? 0) + 1;
  // The db that machines got first: efitools used the local clock for it, which may be hours ahead of UTC.
  const first = next.db === undefined ? 0 : timeOf(await readFile(layout.secureBoot.variables.db.auth));
  const timestamp = after(Math.max(last?.timestamp ?? 0, first), at);
  const owner = (await readFile(layout.secureBoot.owner, 'utf8')).trim();
  const sign = signing(layout, owner, generation, timestamp);
  const digests = next.revoked.map(({ sha256 }) => sha256);
  const held = (next.db ?? []).filter(isHeld);
  const paths = await certificatesOf(folder, held);
  const certificates = await Promise.all(paths.map((path) => certificateList(owner, path)));
  const db = held.length === 0 ? null : await sign('db', Buffer.concat(certificates));
  const dbx = digests.length === 0 ? null : await sign('dbx', digestList(owner, digests));
  await writeListsState(folder, { generation, timestamp, ...next });
  return { generation, revoked: next.revoked, db, dbx };
}

function signing(layout: KeyLayout, owner: string, generation: number, timestamp: number) {
  return async (name: 'db' | 'dbx', list: Buffer): Promise<Buffer> => {
    const { esl, auth } = layout.secureBoot[name](generation);
    await writeFileAtomic(esl, list, 0o644);
    const update = await signedUpdate(layout, owner, name, esl, timestamp);
    await writeFileAtomic(auth, update, 0o644);
    return update;
  };
}

/** The files of a certificate that no state names yet are named by its id, as for all but the first. */
async function certificatesOf(folder: string, held: readonly { id: string }[]): Promise<string[]> {
  const { dbKey } = keyLayout(folder).secureBoot;
  const known = new Map((await dbCertificates(folder)).map(({ id, files }) => [id, files.certificate]));
  return held.map(({ id }) => known.get(id) ?? dbKey(id).certificate);
}

/** Firmware refuses an update that is not later than the one before, and counts in seconds (UEFI 2.10, 8.2.2). */
function after(last: number, now: number): number {
  return Math.max(Math.floor(now / 1000) * 1000, last + 1000);
}

/** The EFI_TIME (UEFI 2.10, 8.3) at the start of an update, milliseconds since the epoch; 0 when there is no update. */
function timeOf(update: Buffer): number {
  if (update.length < 7) return 0;
  const [month, day, hour, minute, second] = [...update.subarray(2, 7)] as [
    number,
    number,
    number,
    number,
    number,
  ];
  return Date.UTC(update.readUInt16LE(0), month - 1, day, hour, minute, second);
}

/** What db holds while these are in force. */
function heldBy(certificates: readonly DbCertificate[]): Buffer[] {
  return certificates.filter(isHeld).map(({ der }) => der);
}

function lets(db: Buffer, held: readonly Buffer[]): boolean {
  try {
    const entries = [...signatureEntries(signatureListsOf(db), LISTS_MALFORMED)];
    return (
      entries.length === held.length &&
      entries.every(({ type, data }, i) => type === X509 && data.equals(held[i]!))
    );
  } catch {
    return false;
  }
}

function forbids(dbx: Buffer, revoked: readonly Revoked[]): boolean {
  try {
    const digests = forbiddenDigests(signatureListsOf(dbx));
    return digests.size === revoked.length && revoked.every(({ sha256 }) => digests.has(sha256));
  } catch {
    return false;
  }
}
