/** The next state of the published metadata, as a pure function of the last one, the available keys and the change. */

import { createHash } from 'node:crypto';
import {
  Metadata,
  type MetadataKind,
  MetaFile,
  type Root,
  Snapshot,
  type TargetFile,
  Targets,
  Timestamp,
} from '@tufjs/models';
import type { Delegations } from '@tufjs/models/dist/delegations.js';
import { delegatedName } from '../../keys/release/delegated.ts';
import type { KeyRing } from '../../keys/release/ring.ts';
import { expiry, RELEASE_LIFE, type ReleaseRole, TUF_VERSION } from '../../keys/release/roles.ts';
import { bytesOf, type RootMetadata } from '../../keys/release/root.ts';
import type { Bundle } from './bundles.ts';
import { currentRoot, type Delegated, type Repository } from './repository.ts';

export type Change = {
  /** A new root, signed. */
  root?: RootMetadata;
  /** What is released from now on; absent: unchanged. */
  targets?: readonly TargetFile[];
  /** Which teams may release under which paths from now on; absent: unchanged. */
  delegations?: Delegations;
  /** What a team has signed, by the name of its role. */
  delegated?: ReadonlyMap<string, Delegated>;
  /** What is put into the store of bundles before anything names it. */
  bundles?: readonly Bundle[];
};

type Signable = Metadata<Targets> | Metadata<Snapshot> | Metadata<Timestamp>;

/** Part of their lives; what is older is signed again before it expires. */
const RENEW_AT = 1 / 2;
/** Older sets that are kept beside the newest: a client that is reading an older one can finish. */
const KEPT = 2;

/**
 * @param roots the chain so far, oldest first
 * @param last null for the first publication
 * @param now milliseconds since the epoch
 * @returns every file by name; null when nothing has to change
 * @throws BootwaveError `RELEASE_KEYS_ABSENT`
 */
export function next(
  roots: readonly RootMetadata[],
  last: Repository | null,
  ring: KeyRing,
  change: Change,
  now: number,
): ReadonlyMap<string, Buffer> | null {
  const chain = change.root === undefined ? roots : [...roots, change.root];
  const root = currentRoot({ roots: chain }).signed;
  const holds = (role: ReleaseRole, metadata: Signable | undefined): boolean =>
    metadata !== undefined && isSigned(root, role, metadata);
  const isYoung = (role: ReleaseRole, metadata: Signable): boolean =>
    Date.parse(metadata.signed.expires) - now > RELEASE_LIFE[role] * (1 - RENEW_AT);
  const keep = (role: ReleaseRole, metadata: Signable | undefined): boolean =>
    holds(role, metadata) && (isYoung(role, metadata!) || (role === 'targets' && !ring.isEnough(root, role)));

  // What is unchanged keeps exactly its bytes: other files name its digest.
  const kept = new Set<unknown>([last?.targets, last?.snapshot, last?.timestamp]);
  const bytes = (metadata: Signable): Buffer =>
    (kept.has(metadata) ? last?.files.get(nameOf(metadata)) : undefined) ?? bytesOf(metadata);
  const files = new Map<string, Buffer>();
  for (const each of chain) files.set(`${each.signed.version}.root.json`, bytesOf(each));

  let targets = last?.targets;
  if (change.targets !== undefined || change.delegations !== undefined || !keep('targets', targets)) {
    const delegations = change.delegations ?? targets?.signed.delegations;
    targets = new Metadata(
      new Targets({
        ...common('targets', targets, now),
        targets: Object.fromEntries(
          (change.targets ?? Object.values(targets?.signed.targets ?? {})).map((file) => [file.path, file]),
        ),
        ...(delegations !== undefined && { delegations }),
      }),
    );
    ring.sign(targets as never, root, 'targets');
  }
  const teams = teamsOf(targets!, last, change);
  let snapshot = last?.snapshot;
  if (targets !== last?.targets || change.delegated !== undefined || !keep('snapshot', snapshot)) {
    // 5.5.5: what a snapshot once named stays named, also when nothing is delegated to that role any more.
    const meta: Record<string, MetaFile> = {
      ...last?.snapshot.signed.meta,
      'targets.json': describe(bytes(targets!), targets!),
    };
    for (const [role, { bytes, metadata }] of teams) meta[`${role}.json`] = describe(bytes, metadata);
    snapshot = new Metadata(new Snapshot({ ...common('snapshot', snapshot, now), meta }));
    ring.sign(snapshot as never, root, 'snapshot');
  }
  let timestamp = last?.timestamp;
  if (snapshot !== last?.snapshot || !keep('timestamp', timestamp)) {
    const snapshotMeta = describe(bytes(snapshot!), snapshot!);
    timestamp = new Metadata(new Timestamp({ ...common('timestamp', timestamp, now), snapshotMeta }));
    ring.sign(timestamp as never, root, 'timestamp');
  }
  if (timestamp === last?.timestamp && change.root === undefined) return null;
  for (const [name, bytes] of recent(last)) files.set(name, bytes);
  for (const [role, { bytes, metadata }] of teams)
    files.set(`${metadata.signed.version}.${delegatedName(role)}`, bytes);
  files.set(nameOf(targets!), bytes(targets!));
  files.set(nameOf(snapshot!), bytes(snapshot!));
  files.set(nameOf(timestamp!), bytes(timestamp!));
  return files;
}

/** What each team released last, for the teams that may release. */
function teamsOf(
  targets: Metadata<Targets>,
  last: Repository | null,
  { delegated }: Change,
): [string, Delegated][] {
  return Object.keys(targets.signed.delegations?.roles ?? {}).flatMap((role) => {
    const found = delegated?.get(role) ?? last?.delegated.get(role);
    return found === undefined ? [] : [[role, found] as [string, Delegated]];
  });
}

function isSigned(root: Root, role: ReleaseRole, metadata: Signable): boolean {
  try {
    new Metadata(root).verifyDelegate(role as MetadataKind, metadata as never);
    return true;
  } catch {
    return false;
  }
}

/**
 * Versions are seconds since the epoch, or one more than the last: so even metadata that is published after the
 * restore of an old backup is newer than all that nodes have seen.
 */
export function common(role: ReleaseRole, last: Signable | undefined, now: number) {
  const version = Math.max((last?.signed.version ?? 0) + 1, Math.floor(now / 1000));
  return { specVersion: TUF_VERSION, version, expires: expiry(now, role) };
}

function describe(bytes: Buffer, { signed: { version } }: Signable): MetaFile {
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  return new MetaFile({ version, length: bytes.length, hashes: { sha256 } });
}

function nameOf({ signed: { type, version } }: Signable): string {
  return type === 'timestamp' ? 'timestamp.json' : `${version}.${type}.json`;
}

/** The newest snapshots and targets of the last state, which the one before it may name. */
function recent(last: Repository | null): [string, Buffer][] {
  if (last === null) return [];
  return ['snapshot', 'targets', ...last.delegated.keys()].flatMap((role) =>
    [...last.files]
      .filter(([name]) => name.replace(/^\d+\./, '') === `${role}.json`)
      .sort(([a], [b]) => Number.parseInt(b, 10) - Number.parseInt(a, 10))
      .slice(0, KEPT),
  );
}
