/** Publishing: signs with the fleet's release keys which images are released. */
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { TargetFile } from '@tufjs/models';
import { BootwaveError } from '../../base/error.ts';
import type { DataPaths } from '../../base/paths.ts';
import { keyLayout } from '../../keys/layout.ts';
import type { MetadataCache } from '../../keys/release/believe.ts';
import { type Released, refresh } from '../../keys/release/refresh.ts';
import { KeyRing } from '../../keys/release/ring.ts';
import { bytesOf, type RootMetadata, readRoot } from '../../keys/release/root.ts';
import { ANY_MACHINE, type Machines, type TargetCustom, targetName } from '../../protocol/release-target.ts';
import { serviceOfTarget } from '../../protocol/service/name.ts';
import { withLock } from '../build/lock.ts';
import { type Manifest, publishedVersions } from '../build/manifest.ts';
import { type Bundle, keepBundles, putBundles, storedBundles } from './bundles.ts';
import { type Change, next } from './next.ts';
import { mustBeOnce } from './once.ts';
import { currentRoot, namedIn, type Repository, readRepository, switchTo } from './repository.ts';

export type PublishPaths = Pick<DataPaths, 'keys' | 'releases' | 'images' | 'bundles'>;

export type PublishOptions = {
  paths: PublishPaths;
  /** Directories with release keys, see KeyRing. */
  media?: readonly string[];
  /** Milliseconds since the epoch. */
  now?: number;
};

/**
 * Releases an image: from now on nodes install it when they are told to.
 * @throws BootwaveError `RELEASE_KEYS_ABSENT`, `RELEASE_CONFLICT`; what was published before stays
 */
export async function release(
  manifest: Manifest,
  options: PublishOptions & { machines?: Machines },
): Promise<void> {
  const { version, size, sha256, pcr11, kernel } = manifest;
  const machines = options.machines ?? ANY_MACHINE;
  const bootwave: TargetCustom = { format: 1, version, pcr11, kernel, machines };
  const file = new TargetFile({
    path: targetName(version),
    length: size,
    hashes: { sha256 },
    unrecognizedFields: { custom: { bootwave } },
  });
  await change(options, (released) => {
    const there = released.find(({ path }) => path === file.path);
    if (there !== undefined && there.hashes.sha256 !== sha256)
      throw new BootwaveError({
        code: 'RELEASE_CONFLICT',
        what: `another image is released as ${version} already`,
        unchanged: 'what is released stays',
        next: 'choose a version that was never used: nodes and records know a version by its name',
      });
    if (there?.equals(file) === true) return null;
    return [...released.filter((each) => each !== there), file];
  });
}

/**
 * Releases an image if no person is needed: the targets key is on this machine.
 * @returns false if somebody has to bring the keys
 */
export async function releaseByItself(manifest: Manifest, options: PublishOptions): Promise<boolean> {
  try {
    await release(manifest, options);
    return true;
  } catch (error) {
    if (error instanceof BootwaveError && error.code === 'RELEASE_KEYS_ABSENT') return false;
    throw error;
  }
}

/**
 * Takes images out of what is released: no node installs or goes back to them any more.
 * @returns those that were released
 */
export async function unrelease(versions: readonly string[], options: PublishOptions): Promise<string[]> {
  const gone: string[] = [];
  if ((await readRepository(options.paths.releases)) === null) return gone;
  await change(options, (released) => {
    const paths = new Set(versions.map(targetName));
    const kept = released.filter(({ path }) => !paths.has(path));
    gone.push(...versions.filter((version) => released.some(({ path }) => path === targetName(version))));
    return kept.length === released.length ? null : kept;
  });
  return gone;
}

/**
 * Signs again what will soon expire. Does nothing if nothing was ever released.
 * @returns whether something was published
 */
export async function renew(options: PublishOptions): Promise<boolean> {
  const { releases } = options.paths;
  if ((await readRepository(releases)) === null) return false;
  return inTurn(releases, async () => {
    const { ring, roots, last } = await open(options);
    return publish(options, last, next(roots, last, ring, {}, timeOf(options)));
  });
}

/** Publishes with a new root. @param change see next.ts */
export async function publishRoot(
  options: PublishOptions,
  make: (now: { roots: readonly RootMetadata[]; ring: KeyRing; at: number }) => Promise<{
    root: RootMetadata;
    ring: KeyRing;
  }>,
): Promise<RootMetadata> {
  return inTurn(options.paths.releases, async () => {
    const { ring, roots, last } = await open(options);
    const at = timeOf(options);
    const made = await make({ roots, ring, at });
    await publish(options, last, next(roots, last, made.ring, { root: made.root }, at));
    return made.root;
  });
}

/** The newest root; what an image trusts. */
export async function newestRoot({ keys, releases }: Pick<DataPaths, 'keys' | 'releases'>): Promise<Buffer> {
  const repository = await readRepository(releases);
  if (repository === null) return readFile(keyLayout(keys).release.root);
  const root = currentRoot(repository);
  return repository.files.get(`${root.signed.version}.root.json`)!;
}

/**
 * Changes what the targets role itself releases.
 * @param edit null: no change
 * @param bundles that are put into the store with it
 */
export async function change(
  options: PublishOptions,
  edit: (released: readonly TargetFile[]) => TargetFile[] | null,
  bundles: readonly Bundle[] = [],
): Promise<void> {
  const { images, bundles: store } = options.paths;
  await publishChange(options, async (last) => {
    const edited = edit(Object.values(last?.targets.signed.targets ?? {}));
    if (edited === null) return bundles.length === 0 ? null : { bundles };
    // What nobody can fetch any more is not released.
    const published = new Set((await publishedVersions(images)).map(targetName));
    const there = new Set([...(await storedBundles(store)), ...bundles.map(({ sha256 }) => sha256)]);
    const isThere = ({ path, hashes }: TargetFile) =>
      serviceOfTarget(path) === null ? published.has(path) : there.has(hashes.sha256 ?? '');
    return { targets: edited.filter(isThere), bundles };
  });
}

/** Publishes the next state, one process at a time. @param edit null: no change */
export async function publishChange(
  options: PublishOptions,
  edit: (last: Repository | null, at: number) => Promise<Change | null>,
): Promise<void> {
  await inTurn(options.paths.releases, async () => {
    const { ring, roots, last } = await open(options);
    const at = timeOf(options);
    const wanted = await edit(last, at);
    if (wanted === null) return;
    const files = next(roots, last, ring, wanted, at);
    const { releases, bundles: store } = options.paths;
    await mustBeOnce(releases, last, wanted);
    await putBundles(store, wanted.bundles ?? []);
    try {
      await publish(options, last, files);
    } finally {
      await dropUnnamed(options.paths);
    }
  });
}

/** Bundles that nothing names any more. It is tried again at the next publication: what was published is published. */
async function dropUnnamed({ releases, bundles }: PublishPaths): Promise<void> {
  try {
    await keepBundles(bundles, namedIn(await readRepository(releases)));
  } catch {
    // Told above, or by whoever reads the metadata next.
  }
}

async function open({ paths, media }: PublishOptions): Promise<{
  ring: KeyRing;
  roots: readonly RootMetadata[];
  last: Repository | null;
}> {
  const ring = await KeyRing.open(paths.keys, media);
  const last = await readRepository(paths.releases);
  if (last !== null) return { ring, roots: last.roots, last };
  const first = await readFile(keyLayout(paths.keys).release.root).catch((cause: unknown) => {
    throw new BootwaveError({
      code: 'KEYS_MISSING',
      what: `there are no release keys in ${paths.keys}`,
      unchanged: 'nothing was published',
      next: "run 'bootwave keys init'; it makes only what is missing",
      cause,
    });
  });
  return { ring, roots: [readRoot(first)], last };
}

/**
 * What a node would refuse is never published: it is verified as nodes do that trusted the first root, and the last
 * state.
 */
async function publish(
  { paths, now }: PublishOptions,
  last: Repository | null,
  files: ReadonlyMap<string, Buffer> | null,
): Promise<boolean> {
  if (files === null) return false;
  await verify(files, last, now ?? Date.now());
  await switchTo(paths.releases, files);
  return true;
}

/** Verified as a node that has seen the last state. */
export async function verify(
  files: ReadonlyMap<string, Buffer>,
  last: Repository | null,
  now: number,
): Promise<Released> {
  const fetch = async (name: string, most: number) => {
    const bytes = files.get(name) ?? null;
    if (bytes === null || bytes.length <= most) return bytes;
    throw new BootwaveError({
      code: 'RELEASE_METADATA_OVERSIZED',
      what: `${name} would have ${bytes.length} bytes, and nodes take ${most} at most`,
      unchanged: 'what was released before stays',
      next: "take old versions out of it: 'bootwave service withdraw', 'bootwave image withdraw'",
    });
  };
  return refresh({ root: files.get('1.root.json')!, fetch, cache: rememberedBy(last), now });
}

function rememberedBy(last: Repository | null): MetadataCache {
  const files = new Map<string, Buffer>();
  if (last !== null) {
    for (const [name, bytes] of last.files) files.set(name, bytes);
    files.set('snapshot.json', bytesOf(last.snapshot));
    files.set('targets.json', bytesOf(last.targets));
  }
  return { read: async (name) => files.get(name) ?? null, write: async () => {} };
}

async function inTurn<T>(releases: string, work: () => Promise<T>): Promise<T> {
  await mkdir(releases, { recursive: true });
  return withLock(join(releases, '.lock'), work);
}

const timeOf = ({ now }: PublishOptions): number => now ?? Date.now();
