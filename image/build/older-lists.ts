import { BootwaveError } from '../../base/error.ts';
import { publishedVersions, readManifest } from './manifest.ts';

/**
 * Nodes never go back to a lower generation: a keys folder that came out of an old backup must not make a number anew
 * that images have brought to nodes with other content.
 * @param generation of the keys folder
 * @throws BootwaveError `SECURE_BOOT_LISTS_OLD`
 */
export async function refuseOlderLists(images: string, generation: number): Promise<void> {
  for (const version of await publishedVersions(images)) {
    // One that cannot be read says nothing, and is found by others.
    const manifest = await readManifest(images, version).catch(() => undefined);
    const brought = manifest?.secureBootLists?.generation ?? 0;
    if (brought <= generation) continue;
    throw new BootwaveError({
      code: 'SECURE_BOOT_LISTS_OLD',
      what: `image ${version} brings generation ${brought} of the Secure Boot lists, and the keys have only generation ${generation}`,
      unchanged: 'no image was built or revoked',
      next: 'restore the keys from their newest backup',
    });
  }
}
