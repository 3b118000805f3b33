/** Bundles that somebody made elsewhere: looked at byte by byte before they are let into the store. */

import { constants } from 'node:fs';
import { copyFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { BootwaveError, messageOf } from '../../base/error.ts';
import { digestOfFile } from '../../base/files.ts';
import { customOf } from '../publish/bundled.ts';
import type { Bundle } from '../publish/bundles.ts';
import { readTargets } from '../publish/repository.ts';
import { asServiceFailure } from './failure.ts';
import { checkTree } from './verity.ts';

/**
 * Copies them, so that nobody changes them after they were looked at.
 * @param metadata what the team signed: each of them has to be named in it
 * @param folder on the disk of the store
 * @throws BootwaveError `BUNDLE_DIFFERS`, `BUNDLE_UNREADABLE`, `SERVICE_DISK_FULL`
 */
export async function bringBundles(
  files: readonly string[],
  metadata: Buffer,
  folder: string,
): Promise<Bundle[]> {
  if (files.length === 0) return [];
  const brought: Bundle[] = [];
  const named = targetsIn(metadata);
  for (const [i, file] of files.entries()) {
    const copy = join(folder, String(i));
    await copyFile(file, copy, constants.COPYFILE_FICLONE).catch((cause: unknown) => {
      const full = asServiceFailure(cause, folder);
      if (full !== cause) throw full;
      throw refuse(
        'BUNDLE_UNREADABLE',
        `${file} cannot be read: ${messageOf(cause)}`,
        'name a bundle of service pack',
      );
    });
    const [sha256, { size }] = [await digestOfFile(copy), await stat(copy)];
    const target = named.find(({ hashes }) => hashes.sha256 === sha256);
    const custom = target === undefined ? null : customOf(target);
    if (target === undefined || custom === null || target.length !== size)
      throw refuse(
        'BUNDLE_DIFFERS',
        `${file} is not what the team signed: nothing names ${sha256}`,
        'sign it, or bring the one that was signed',
      );
    await checkTree(copy, custom);
    brought.push({ file: copy, sha256 });
  }
  return brought;
}

/** What cannot be read is refused later, with its reason. */
function targetsIn(metadata: Buffer) {
  try {
    return Object.values(readTargets(metadata).signed.targets);
  } catch {
    return [];
  }
}

function refuse(code: string, what: string, next: string): BootwaveError {
  return new BootwaveError({ code, what, unchanged: 'what the team released before stays', next });
}
