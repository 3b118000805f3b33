import { BootwaveError } from '../../base/error.ts';
import { encodeLists } from '../../formats/efi/secure-boot-lists.ts';
import type { FleetLists } from '../../keys/secure-boot-lists.ts';
import { type Manifest, publishedVersions, readManifest } from './manifest.ts';

/**
 * What the fleet's Secure Boot lists add to an image: a section of the UKI, and a field in the manifest. Pure.
 * @param unsigned published versions that no certificate in db has signed: the firmware does not start them any more,
 * either
 */
export function bringAlong(
  { generation, revoked, db, dbx }: FleetLists,
  unsigned: readonly string[],
): {
  /** Null in generation 0. */
  section: Buffer | null;
  manifest: Pick<Manifest, 'secureBootLists'>;
} {
  if (generation === 0) return { section: null, manifest: {} };
  const revokes = [...new Set([...revoked.map(({ version }) => version), ...unsigned])];
  return {
    section: encodeLists({ generation, db, dbx }),
    manifest: { secureBootLists: { generation, revokes } },
  };
}

/**
 * Nodes never go back to a lower generation: a keys folder from an old backup must not use a number again that nodes
 * already have with other content.
 * @param generation of the keys folder
 * @throws BootwaveError `SECURE_BOOT_LISTS_OLD`
 */
export async function refuseOlderLists(images: string, generation: number): Promise<void> {
  for (const version of await publishedVersions(images)) {
    // A manifest that cannot be read is ignored here; other checks report it.
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
