/**
 * Before a node restarts into an image with newer Secure Boot lists, or with another signing key: the node must not
 * need anything that the firmware will then refuse, and the state must open under the new PCR 7. Root checks all of
 * this itself; the firmware checks who signed the lists (UEFI 2.10, 8.2.2).
 */
import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { BootwaveError } from '../../../../base/error.ts';
import { type OpenFile, withFile, writeFileAtomic } from '../../../../base/files.ts';
import {
  decodeLists,
  forbiddenDigests,
  forbidsMore,
  LISTS_SECTION,
  MOST_LISTS_BYTES,
  type SecureBootLists,
  signatureListsOf,
} from '../../../../formats/efi/secure-boot-lists.ts';
import { authenticodeSha256 } from '../../../../formats/pe/authenticode.ts';
import { sectionNamed, UKI_HEADER_BYTES, ukiSections } from '../../../../formats/pe/uki-sections.ts';
import type { ListsStep } from '../../../../protocol/agent/disk.ts';
import { lastGood, readSlots, type Slot } from '../../../../protocol/agent/slots.ts';
import { FALLBACK_LOADER } from '../disk/install.ts';
import type { ListContents, ListName, Signers } from '../disk/pcr7-to-come.ts';
import { DB_MAY_WAIT, readList, secureBootState } from '../secure-boot.ts';
import { planDb } from './db-step.ts';
import { IMAGE_FOLDER, openEsp } from './esp.ts';
import { replaceLoader } from './renew-loader.ts';
import { certificatesIn, signerOf } from './signers.ts';

const NAMES: readonly ListName[] = ['db', 'dbx'];

export type ListsPlaces = {
  efivars: string;
  /** A file with the generation of the lists that the running image knows; absent: 0. */
  generation: string;
  /** Folder of root's, from which `writeLists` takes them. */
  pending: string;
  /**
   * @param signers of the next start; absent: the same
   * @returns why the state will have to be made again; empty: it will not
   */
  prepareState(lists: ListContents, signers?: Signers): Promise<string>;
};

/** @param folder of the mounted ESP; nothing is written to it */
export async function listsOf(folder: string, version: string): Promise<SecureBootLists | null> {
  const esp = await openEsp(join(folder, IMAGE_FOLDER));
  const slot = readSlots(await esp.list()).find((each) => each.version === version);
  return slot === undefined ? null : withFile(join(folder, IMAGE_FOLDER, slot.file), readLists);
}

/** Whether this machine's firmware must get them. */
export async function areNew(lists: SecureBootLists, places: ListsPlaces): Promise<boolean> {
  if ((await secureBootState(places.efivars)) !== 'on') return false;
  return Object.keys(await changesOf(lists, places)).length > 0;
}

/** Whether another key signed the wanted image: PCR 7 contains who let the image run, so it will change. */
export async function isSignedAnew(
  folder: string,
  { version, running }: { version: string; running: string },
  { efivars }: Pick<ListsPlaces, 'efivars'>,
): Promise<boolean> {
  if ((await secureBootState(efivars)) !== 'on') return false;
  const slots = readSlots(await (await openEsp(join(folder, IMAGE_FOLDER))).list());
  const db = certificatesIn(await readList(efivars, 'db'));
  const [next, now] = await Promise.all(
    [version, running].map(async (wanted) => {
      const slot = slots.find((each) => each.version === wanted);
      return slot === undefined ? null : signerOf(join(folder, IMAGE_FOLDER, slot.file), db);
    }),
  );
  return now != null && next?.equals(now) !== true;
}

/**
 * @param folder of the ESP, mounted for writing: a spare image that the firmware will refuse is removed
 * @param image what the order in force names
 * @param running version that runs
 * @throws BootwaveError `SECURE_BOOT_FORBIDS`, `STAGE_DIGEST`, `SECURE_BOOT_LISTS_MALFORMED`, `PE_INVALID`
 */
export async function prepareLists(
  folder: string,
  { image, running }: { image: { version: string; sha256: string }; running: string },
  places: ListsPlaces & { loader: string },
): Promise<ListsStep> {
  const esp = await openEsp(join(folder, IMAGE_FOLDER));
  const slots = readSlots(await esp.list());
  const wanted = slots.find(({ version }) => version === image.version);
  // Anybody who had the disk may have written to the ESP: seal only for values from the ordered image.
  if (wanted === undefined || (await esp.digest(wanted.file)) !== image.sha256)
    throw new BootwaveError({
      code: 'STAGE_DIGEST',
      what: `the file of image ${image.version} on the disk is not the ordered one`,
      unchanged: 'no list was written; the node goes on as before',
      next: 'stage the image again',
    });
  const lists = await withFile(join(folder, IMAGE_FOLDER, wanted.file), readLists);
  const changes = lists === null ? {} : await changesOf(lists, places);
  const now = certificatesIn(await readList(places.efivars, 'db'));
  const next = changes.db === undefined ? null : certificatesIn(changes.db);
  const { loader } = places;
  const plan = await planDb({ folder, slots, wanted: image.version, running, loader, now, next });
  if (plan.locksOut !== null)
    throw forbids(`leave the firmware without trust in the key that signed ${plan.locksOut}`);
  const forbidden = await forbiddenOf(folder, slots, changes.dbx ?? null, [image.version, running]);
  const gone = new Set([...forbidden, ...plan.lost]);
  const good = lastGood(slots.filter((slot) => !gone.has(slot)));
  if (good === null && lastGood(slots) !== null)
    throw forbids(`leave no image that is known to be good: ${running} is on trial still`);
  for (const { file } of gone) await esp.remove(file);
  const state = await places.prepareState(changes, plan.signers);
  if (plan.renew) await replaceLoader(folder, await readFile(loader));
  await rm(places.pending, { recursive: true, force: true });
  const names = NAMES.filter((name) => changes[name] !== undefined);
  if (names.length === 0) return { pending: false, generation: lists?.generation ?? 0, state };
  await mkdir(places.pending, { recursive: true, mode: 0o700 });
  for (const name of names) await writeFileAtomic(join(places.pending, `${name}.auth`), lists![name]!, 0o600);
  if (plan.startsNow) await writeFileAtomic(join(places.pending, DB_MAY_WAIT), '', 0o600);
  return { pending: true, generation: lists!.generation, state };
}

export const noLists = (lists: SecureBootLists | null): ListsStep => ({
  pending: false,
  generation: lists?.generation ?? 0,
  state: '',
});

async function readLists(file: OpenFile): Promise<SecureBootLists | null> {
  const head = Buffer.alloc(Math.min(UKI_HEADER_BYTES, file.size));
  await file.read(head, 0);
  const section = sectionNamed(ukiSections(head, file.size), LISTS_SECTION);
  if (section === undefined) return null;
  // Reads one byte too many, so that a file that is too long is refused.
  const bytes = Buffer.alloc(Math.min(section.length, MOST_LISTS_BYTES + 1));
  await file.read(bytes, section.offset);
  return decodeLists(bytes);
}

/**
 * Contents of the variables that change. What is revoked stays revoked: a dbx that forbids nothing more than the
 * firmware's is older, as an older image brings it. A db is newer when its generation is.
 */
async function changesOf(
  lists: SecureBootLists,
  { efivars, generation }: ListsPlaces,
): Promise<ListContents> {
  const known = Number(await readFile(generation, 'utf8').catch(() => '0'));
  const changes: ListContents = {};
  for (const name of NAMES) {
    const update = lists[name];
    if (update === null) continue;
    const content = signatureListsOf(update);
    const there = await readList(efivars, name);
    const isNew = name === 'dbx' ? forbidsMore(content, there) : lists.generation > known;
    if (isNew && !content.equals(there)) changes[name] = content;
  }
  return changes;
}

/** Spare images that the firmware will refuse. @throws BootwaveError `SECURE_BOOT_FORBIDS` */
async function forbiddenOf(
  folder: string,
  slots: readonly Slot[],
  dbx: Uint8Array | null,
  needed: readonly string[],
): Promise<Slot[]> {
  const forbidden = dbx === null ? new Set<string>() : forbiddenDigests(dbx);
  if (forbidden.size === 0) return [];
  const isForbidden = async (path: string) =>
    forbidden.has(await withFile(join(folder, path), authenticodeSha256));
  if (await isForbidden(FALLBACK_LOADER)) throw forbids('revoke the boot loader on its disk');
  const found: Slot[] = [];
  for (const slot of slots) {
    const isNeeded = needed.includes(slot.version);
    // No firmware starts a file that is no program, so a spare file like that must not block the lists.
    const isRevoked = await isForbidden(join(IMAGE_FOLDER, slot.file)).catch((error: unknown) => {
      if (isNeeded || !(error instanceof BootwaveError)) throw error;
      return false;
    });
    if (!isRevoked) continue;
    if (isNeeded) throw forbids(`revoke image ${slot.version}`);
    found.push(slot);
  }
  return found;
}

function forbids(what: string): BootwaveError {
  return new BootwaveError({
    code: 'SECURE_BOOT_FORBIDS',
    what: `the Secure Boot lists that hold for this image ${what}, which this node needs to start or to fall back to`,
    unchanged: 'no list was written; the node goes on as before',
    next: 'bring the node an image first that starts both before and after the change',
  });
}
