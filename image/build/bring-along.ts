import type { FleetLists } from '../../keys/secure-boot-lists.ts';
import { encodeLists } from '../secure-boot-lists.ts';
import type { Manifest } from './manifest.ts';

/** What the fleet's Secure Boot lists add to an image: a section of the UKI, and a word in the manifest. Pure. */
export function bringAlong({ generation, revoked, dbx }: FleetLists): {
  /** Null in generation 0. */
  section: Buffer | null;
  manifest: Pick<Manifest, 'secureBootLists'>;
} {
  if (dbx === null) return { section: null, manifest: {} };
  const revokes = revoked.map(({ version }) => version);
  return {
    section: encodeLists({ generation, db: null, dbx }),
    manifest: { secureBootLists: { generation, revokes } },
  };
}
