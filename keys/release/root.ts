/** Root metadata: which keys count for which role, and how many of them must sign (TUF 1.0.34, 4.3). */
import { Metadata, MetadataKind, Root } from '@tufjs/models';
import type { SigningKey } from './key.ts';
import { expiry, RELEASE_ROLES, type ReleaseRole, TUF_VERSION } from './roles.ts';

export type RootMetadata = Metadata<Root>;

export type RoleKeys = { keys: readonly SigningKey['public'][]; threshold: number };

export function makeRoot(version: number, roles: Record<ReleaseRole, RoleKeys>, now: number): RootMetadata {
  const keys = RELEASE_ROLES.flatMap((role) => roles[role].keys.map((key) => [key.keyID, key.toJSON()]));
  const named = RELEASE_ROLES.map((role) => {
    const { keys, threshold } = roles[role];
    return [role, { keyids: keys.map(({ keyID }) => keyID), threshold }];
  });
  return new Metadata(
    Root.fromJSON({
      spec_version: TUF_VERSION,
      version,
      expires: expiry(now, 'root'),
      consistent_snapshot: true,
      keys: Object.fromEntries(keys),
      roles: Object.fromEntries(named),
    }),
  );
}

/** The next version of a root, in which some roles have other keys. It is to be signed by the old root keys and the new ones. */
export function nextRoot(
  { signed }: RootMetadata,
  changed: Partial<Record<ReleaseRole, RoleKeys>>,
  now: number,
): RootMetadata {
  const kept = Object.fromEntries(
    RELEASE_ROLES.map((role) => [role, changed[role] ?? roleKeys(signed, role)]),
  );
  return makeRoot(signed.version + 1, kept as Record<ReleaseRole, RoleKeys>, now);
}

export function roleKeys(root: Root, role: ReleaseRole): RoleKeys {
  const { keyIDs, threshold } = root.roles[role]!;
  return { keys: keyIDs.flatMap((id) => root.keys[id] ?? []), threshold };
}

export function readRoot(bytes: Uint8Array): RootMetadata {
  return Metadata.fromJSON(MetadataKind.Root, JSON.parse(Buffer.from(bytes).toString('utf8')));
}

export function bytesOf(metadata: { toJSON(): unknown }): Buffer {
  return Buffer.from(`${JSON.stringify(metadata.toJSON(), null, 1)}\n`);
}
