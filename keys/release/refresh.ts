/**
 * What is released now, as the fleet's release keys say: the client workflow of The Update Framework (1.0.34, 5). The
 * checks of each file are those of tuf-js's trusted store, which does no I/O; this is the order in which files are
 * asked for, how large they may be, and what is remembered. A node does this before it writes an image, and whoever
 * publishes does it before anybody else can see what is published.
 */
import type { TargetFile } from '@tufjs/models';
import { EqualVersionError } from 'tuf-js/dist/error.js';
import { TrustedMetadataStore } from 'tuf-js/dist/store.js';
import { expired, refusal, told } from './refusals.ts';
import type { ReleaseRole } from './roles.ts';

export const METADATA_LIMITS = {
  /** Bytes. What a larger role names is bounded by the role above it, and by these. */
  root: 64 * 1024,
  timestamp: 16 * 1024,
  snapshot: 64 * 1024,
  targets: 4 * 1024 * 1024,
  /** New roots that are followed at once (TUF 1.0.34, 5.3.3): more of them is somebody's endless chain. */
  rotations: 64,
} as const;

/** @returns null when there is no such file; everything else that goes wrong is thrown */
export type FetchMetadata = (name: string, most: number) => Promise<Buffer | null>;

/** What was trusted last, by file name. Losing it costs protection against older metadata, nothing else. */
export interface MetadataCache {
  read(name: string): Promise<Buffer | null>;
  write(name: string, bytes: Buffer): Promise<void>;
}

export type RefreshOptions = {
  /** Bytes of the root that is trusted to begin with. */
  root: Buffer;
  fetch: FetchMetadata;
  cache: MetadataCache;
  /** Milliseconds since the epoch. */
  now: number;
};

export type Released = {
  /** By name: what may be installed. */
  targets: Readonly<Record<string, TargetFile>>;
  versions: { root: number; timestamp: number; snapshot: number; targets: number };
};

/** @throws BootwaveError one of `RELEASE_METADATA_CODES`, or what `fetch` throws; nothing that was refused is remembered */
export async function refresh(options: RefreshOptions): Promise<Released> {
  const { now } = options;
  const store = trusting(options.root);
  // 5.1: the update begins at one fixed time. The store took the clock's; the caller may know a later one.
  Object.assign(store, { referenceTime: new Date(now) });
  await updateRoot(store, options);
  await updateTimestamp(store, options);
  await updateSnapshot(store, options);
  await updateTargets(store, options);
  return {
    targets: store.targets!.signed.targets,
    versions: {
      root: store.root.signed.version,
      timestamp: store.timestamp!.signed.version,
      snapshot: store.snapshot!.signed.version,
      targets: store.targets!.signed.version,
    },
  };
}

/** 5.2. An expired one still says whose word counts. */
function trusting(root: Buffer): TrustedMetadataStore {
  try {
    return new TrustedMetadataStore(root);
  } catch (error) {
    throw told(error, 'root', 0, root);
  }
}

/** 5.3: each root is signed by the one before it, so none may be left out. */
async function updateRoot(store: TrustedMetadataStore, { fetch, cache, now }: RefreshOptions): Promise<void> {
  for (let followed = 0; ; followed += 1) {
    const name = `${store.root.signed.version + 1}.root.json`;
    if (await remembered(cache, name, (bytes) => store.updateRoot(bytes))) continue;
    const bytes = await fetch(name, METADATA_LIMITS.root);
    if (bytes === null) break;
    if (followed >= METADATA_LIMITS.rotations)
      throw refusal('RELEASE_METADATA_OVERSIZED', 'root', 'the chain of roots does not end');
    checked('root', now, bytes, () => store.updateRoot(bytes));
    await cache.write(name, bytes);
  }
  // 5.3.10: only the last one has to be fresh.
  const { expires } = store.root.signed;
  if (store.root.signed.isExpired(new Date(now))) throw expired('root', expires, now);
}

/** 5.4: an older one is refused, and so is the newest one when it has expired. */
async function updateTimestamp(
  store: TrustedMetadataStore,
  { fetch, cache, now }: RefreshOptions,
): Promise<void> {
  const name = 'timestamp.json';
  const kept = await cache.read(name);
  // Expired or signed by a key that was replaced: the first still is a floor for the next one, the second is none (5.3.11).
  if (kept !== null) attempt(() => store.updateTimestamp(kept));
  const bytes = await wanted(fetch, name, 'timestamp', METADATA_LIMITS.timestamp);
  let isSame = false;
  checked('timestamp', now, bytes, () => {
    try {
      store.updateTimestamp(bytes);
    } catch (error) {
      if (!(error instanceof EqualVersionError)) throw error;
      // 5.4.3.1: the one that is trusted goes on; its age was not looked at again.
      isSame = true;
      if (store.timestamp?.signed.isExpired(new Date(now)) === true)
        throw expired('timestamp', store.timestamp.signed.expires, now);
    }
  });
  if (!isSame) await cache.write(name, bytes);
}

/** 5.5: exactly the one that the timestamp names. */
async function updateSnapshot(
  store: TrustedMetadataStore,
  { fetch, cache, now }: RefreshOptions,
): Promise<void> {
  if (await remembered(cache, 'snapshot.json', (bytes) => store.updateSnapshot(bytes, true))) return;
  const { version, length } = store.timestamp!.signed.snapshotMeta;
  const most = Math.min(length ?? METADATA_LIMITS.snapshot, METADATA_LIMITS.snapshot);
  const bytes = await wanted(fetch, `${version}.snapshot.json`, 'snapshot', most);
  checked('snapshot', now, bytes, () => store.updateSnapshot(bytes));
  await cache.write('snapshot.json', bytes);
}

/** 5.6: exactly the one that the snapshot names. Nothing is delegated further: what is released stands in this one file. */
async function updateTargets(
  store: TrustedMetadataStore,
  { fetch, cache, now }: RefreshOptions,
): Promise<void> {
  const update = (bytes: Buffer) => store.updateDelegatedTargets(bytes, 'targets', 'root');
  if (await remembered(cache, 'targets.json', update)) return;
  const meta = store.snapshot!.signed.meta['targets.json'];
  if (meta === undefined) throw refusal('RELEASE_METADATA_MALFORMED', 'snapshot', 'it names no targets');
  const most = Math.min(meta.length ?? METADATA_LIMITS.targets, METADATA_LIMITS.targets);
  const bytes = await wanted(fetch, `${meta.version}.targets.json`, 'targets', most);
  checked('targets', now, bytes, () => update(bytes));
  await cache.write('targets.json', bytes);
}

/** What was trusted before is held against the same checks again: the disk it lies on may be anybody's. */
async function remembered(
  cache: MetadataCache,
  name: string,
  use: (bytes: Buffer) => unknown,
): Promise<boolean> {
  const bytes = await cache.read(name);
  return bytes !== null && attempt(() => use(bytes));
}

function attempt(work: () => unknown): boolean {
  try {
    work();
    return true;
  } catch {
    return false;
  }
}

async function wanted(fetch: FetchMetadata, name: string, file: ReleaseRole, most: number): Promise<Buffer> {
  const bytes = await fetch(name, most);
  if (bytes !== null) return bytes;
  throw refusal('RELEASE_METADATA_ABSENT', file, `the boot server has no ${name}`);
}

/** The checks of the store, and those that it leaves out. */
function checked(file: ReleaseRole, now: number, bytes: Buffer, use: () => unknown): void {
  try {
    const { signed } = JSON.parse(bytes.toString('utf8')) as { signed?: { expires?: unknown } };
    // 4.2.1. Of a date that is none the store would say that it never comes.
    const { expires } = signed ?? {};
    const isDate = typeof expires === 'string' && /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/.test(expires);
    if (!isDate || Number.isNaN(Date.parse(expires)))
      throw refusal('RELEASE_METADATA_MALFORMED', file, 'it has no date of expiry');
    use();
  } catch (error) {
    throw told(error, file, now, bytes);
  }
}
