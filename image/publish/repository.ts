/**
 * The published release metadata on the disk: a folder of a few small files for each state that it was in, and
 * `metadata`, a symbolic link to the one that is served. Publishing changes that link, so half of something is never
 * served, whenever the power fails.
 */
import { mkdir, readdir, readFile, readlink, rename, rm, symlink } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { Metadata, MetadataKind, type Snapshot, type Targets, type Timestamp } from '@tufjs/models';
import { BootwaveError, messageOf } from '../../base/error.ts';
import { syncFolder, writeSynced } from '../../base/files.ts';
import { delegatedName } from '../../keys/release/delegated.ts';
import { type RootMetadata, readRoot } from '../../keys/release/root.ts';

/** What a team signed, byte for byte. */
export type Delegated = { metadata: Metadata<Targets>; bytes: Buffer };

export type Repository = {
  /** Oldest first; each names the keys that may sign the next. */
  roots: readonly RootMetadata[];
  targets: Metadata<Targets>;
  snapshot: Metadata<Snapshot>;
  timestamp: Metadata<Timestamp>;
  /** What teams released, by the name of their role; absent: nothing yet, or the team may not any more. */
  delegated: ReadonlyMap<string, Delegated>;
  /** By name, as served. */
  files: ReadonlyMap<string, Buffer>;
};

export const currentRoot = ({ roots }: Pick<Repository, 'roots'>): RootMetadata => roots.at(-1)!;

/** The folder that is served. @param releases of the data directory */
export const metadataFolder = (releases: string): string => join(releases, 'metadata');

/**
 * @returns null when nothing was ever published
 * @throws BootwaveError `RELEASE_REPOSITORY` when it cannot be read
 */
export async function readRepository(releases: string): Promise<Repository | null> {
  const folder = metadataFolder(releases);
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw error;
  });
  if (names === null) return null;
  try {
    const files = new Map<string, Buffer>();
    for (const name of names) files.set(name, await readFile(join(folder, name)));
    return parse(files);
  } catch (cause) {
    throw new BootwaveError({
      code: 'RELEASE_REPOSITORY',
      what: `the release metadata in ${folder} cannot be read: ${messageOf(cause)}`,
      unchanged: 'nothing was published',
      next: 'restore the folder above it from its backup',
      cause,
    });
  }
}

function parse(files: ReadonlyMap<string, Buffer>): Repository {
  const json = (name: string) => JSON.parse(files.get(name)!.toString('utf8'));
  const roots: RootMetadata[] = [];
  for (let version = 1; files.has(`${version}.root.json`); version += 1)
    roots.push(readRoot(files.get(`${version}.root.json`)!));
  const timestamp = Metadata.fromJSON(MetadataKind.Timestamp, json('timestamp.json'));
  const snapshotVersion = timestamp.signed.snapshotMeta.version;
  const snapshot = Metadata.fromJSON(MetadataKind.Snapshot, json(`${snapshotVersion}.snapshot.json`));
  const targetsVersion = snapshot.signed.meta['targets.json']!.version;
  const targets = Metadata.fromJSON(MetadataKind.Targets, json(`${targetsVersion}.targets.json`));
  const delegated = new Map<string, Delegated>();
  for (const role of Object.keys(targets.signed.delegations?.roles ?? {})) {
    const meta = snapshot.signed.meta[`${role}.json`];
    const bytes = files.get(`${meta?.version}.${delegatedName(role)}`);
    if (bytes !== undefined) delegated.set(role, { bytes, metadata: readTargets(bytes) });
  }
  return { roots, targets, snapshot, timestamp, delegated, files };
}

export function readTargets(bytes: Uint8Array): Metadata<Targets> {
  return Metadata.fromJSON(MetadataKind.Targets, JSON.parse(Buffer.from(bytes).toString('utf8')));
}

/** Bundles that it names, by their SHA-256: of the fleet, and of every team that may release. */
export function namedIn(repository: Repository | null): Set<string> {
  const all =
    repository === null
      ? []
      : [repository.targets, ...[...repository.delegated.values()].map((each) => each.metadata)];
  return new Set(
    all.flatMap(({ signed }) => Object.values(signed.targets).flatMap(({ hashes }) => hashes.sha256 ?? [])),
  );
}

/** Replaces the served set with a complete set of files. */
export async function switchTo(releases: string, files: ReadonlyMap<string, Buffer>): Promise<void> {
  const name = await write(releases, files);
  const link = join(releases, '.metadata');
  await rm(link, { force: true });
  await symlink(name, link);
  await rename(link, metadataFolder(releases));
  await syncFolder(releases);
  await sweep(releases, name);
}

/** @returns the name of the new folder; all of it is on the medium */
export async function write(releases: string, files: ReadonlyMap<string, Buffer>): Promise<string> {
  const last = await readlink(metadataFolder(releases)).catch(() => 'metadata-0');
  const name = `metadata-${Number(basename(last).split('-')[1]) + 1}`;
  const folder = join(releases, name);
  // What an interrupted publication left.
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  for (const [file, bytes] of files) await writeSynced(join(folder, file), bytes, 'wx', 0o644);
  await syncFolder(folder);
  await syncFolder(releases);
  return name;
}

async function sweep(releases: string, current: string): Promise<void> {
  for (const name of await readdir(releases))
    if (name.startsWith('metadata-') && name !== current)
      await rm(join(releases, name), { recursive: true, force: true });
}
