/**
 * Replaces the boot loader on the ESP with the one that the running image contains: after a change of the key that
 * signs images, the old one would not start any more. At every moment there is a complete loader that starts, whenever
 * the power fails.
 */
import { mkdir, readFile, rename, rmdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { syncFolder, withFile, writeSynced } from '../../../../base/files.ts';
import { forbiddenDigests } from '../../../../formats/efi/secure-boot-lists.ts';
import { authenticodeSha256 } from '../../../../formats/pe/authenticode.ts';
import { FALLBACK_LOADER, SYSTEMD_LOADER } from '../disk/install.ts';
import type { Signers } from '../disk/pcr7-to-come.ts';
import { readList, secureBootState } from '../secure-boot.ts';
import { IMAGE_FOLDER } from './esp.ts';
import { certificatesIn, signerOf } from './signers.ts';

/** The reason why nothing was done, at nearly every start. */
export const SAME_LOADER = 'it is the same';

export type RenewPlaces = {
  efivars: string;
  /** The loader that the running image contains. */
  loader: string;
  /** Makes the state open after a start by other signers. @returns why it will not; empty: it will */
  prepareState(lists: Record<string, never>, signers?: Signers): Promise<string>;
  /** Called before anything is written. */
  onRenew(): Promise<void>;
};

/**
 * @param folder of the ESP, mounted for writing
 * @param file name of the image that runs, and is good
 * @returns why the loader stays as it is; empty: it was replaced
 * @throws BootwaveError `COMMAND_FAILED`; errors of the file system
 */
export async function renewLoader(folder: string, file: string, places: RenewPlaces): Promise<string> {
  const { efivars, loader, prepareState, onRenew } = places;
  const onDisk = join(folder, FALLBACK_LOADER);
  const own = await readFile(loader).catch(() => null);
  if (own === null) return 'this image brings no loader';
  if (own.equals(await readFile(onDisk))) return SAME_LOADER;
  if ((await secureBootState(efivars)) === 'on') {
    const db = certificatesIn(await readList(efivars, 'db'));
    const by = await signerOf(loader, db);
    if (by === null) return 'the firmware does not trust the key that signed the new one';
    if (await isForbidden(efivars, loader)) return 'the firmware revokes the new one';
    await onRenew();
    const image = await signerOf(join(folder, IMAGE_FOLDER, file), db);
    const before = await signerOf(onDisk, db);
    // Firmware measures the signer, not the content: another loader by the same key changes nothing for the state.
    if (image !== null && before?.equals(by) !== true) {
      const why = await prepareState({}, { next: [by, image], known: db });
      if (why !== '') console.error(`bootwave-helper: the state will be made again: ${why}`);
    }
  }
  await replaceLoader(folder, own);
  return '';
}

/** First the loader that no firmware starts. @param folder of the ESP, mounted for writing */
export async function replaceLoader(folder: string, content: Uint8Array): Promise<void> {
  for (const path of [SYSTEMD_LOADER, FALLBACK_LOADER]) await replaceInPlace(join(folder, path), content);
}

/**
 * Where the new content of a file is written. A rename on FAT gives the old name the new file's clusters first, in
 * one sector, and takes the other name away after that. A cut in between leaves two names that share them, and the
 * repair before the next change (fsck.fat(8)) empties the second one that it reaches. It reaches a folder's own files
 * before its subfolders, so the other name is in a subfolder.
 */
export function freshFor(path: string): string {
  return join(dirname(path), 'new', basename(path));
}

async function replaceInPlace(path: string, content: Uint8Array): Promise<void> {
  if ((await readFile(path).catch(() => null))?.equals(content)) return;
  const fresh = freshFor(path);
  const folder = dirname(fresh);
  await mkdir(folder, { recursive: true });
  await writeSynced(fresh, content, 'w', 0o600);
  await syncFolder(folder);
  await rename(fresh, path);
  await syncFolder(dirname(path));
  await rmdir(folder);
}

async function isForbidden(efivars: string, loader: string): Promise<boolean> {
  try {
    return forbiddenDigests(await readList(efivars, 'dbx')).has(await withFile(loader, authenticodeSha256));
  } catch {
    // A dbx that cannot be parsed: the loader that has started is better than one that may not start.
    return true;
  }
}
