import { encodeLists } from '../../formats/efi/secure-boot-lists.ts';
import type { FleetLists } from '../../keys/secure-boot-lists.ts';
import type { Manifest } from './manifest.ts';

/**
 * What the fleet's Secure Boot lists add to an image: a section of the UKI, and a word in the manifest. Pure.
 * @param unsigned published versions that no certificate in db has signed: the firmware starts them no more, either
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
