/**
 * What is released now, as the fleet's release keys say: the client workflow of The Update Framework (1.0.34, 5). The
 * checks of each file are those of tuf-js's trusted store, which does no I/O; this file decides in which order files
 * are fetched, how large they may be, and what is remembered. A node does this before it writes an image; the publisher
 * does it before the release becomes visible.
 */
import type { TargetFile } from '@tufjs/models';
import { EqualVersionError } from 'tuf-js/dist/error.js';
import { TrustedMetadataStore } from 'tuf-js/dist/store.js';
import {
  attempt,
  checked,
  type FetchMetadata,
  METADATA_LIMITS,
  type MetadataCache,
  remembered,
  wanted,
} from './believe.ts';
import { type Found, findTarget } from './delegated.ts';
import { expired, refusal, told } from './refusals.ts';
import { mustBeWellFormed } from './well-formed.ts';

export type RefreshOptions = {
  /** Bytes of the root that is trusted at first. */
  root: Buffer;
  fetch: FetchMetadata;
  cache: MetadataCache;
  /** Milliseconds since the epoch. */
  now: number;
};

export type Released = {
  /** By name: what the targets role itself released. No other role may release an image. */
  targets: Readonly<Record<string, TargetFile>>;
  /**
   * Which role released the target at this path: the targets role, or a role that it delegated the path to, whose
   * metadata is fetched then.
   * @returns null: no role @throws as `refresh`
   */
  find(path: string): Promise<Found | null>;
  versions: { root: number; timestamp: number; snapshot: number; targets: number };
};

/** @throws BootwaveError one of `RELEASE_METADATA_CODES`, or what `fetch` throws; nothing that was refused is remembered */
export async function refresh(options: RefreshOptions): Promise<Released> {
  const { now } = options;
  const store = trusting(options.root);
  // 5.1: the update uses one fixed start time. The store uses its own clock; the caller may know a later time.
  Object.assign(store, { referenceTime: new Date(now) });
  await updateRoot(store, options);
  await updateTimestamp(store, options);
  await updateSnapshot(store, options);
  await updateTargets(store, options);
  return {
    targets: store.targets!.signed.targets,
    find: (path) => findTarget(store, options, path),
    versions: {
      root: store.root.signed.version,
      timestamp: store.timestamp!.signed.version,
      snapshot: store.snapshot!.signed.version,
      targets: store.targets!.signed.version,
    },
  };
}

/** 5.2. An expired root still says which keys count. */
function trusting(root: Buffer): TrustedMetadataStore {
  try {
    mustBeWellFormed('root', root);
    return new TrustedMetadataStore(root);
  } catch (error) {
    throw told(error, 'root', 0, root);
  }
}

/** 5.3: each root is signed by the one before it, so none may be left out. */
async function updateRoot(store: TrustedMetadataStore, { fetch, cache, now }: RefreshOptions): Promise<void> {
  for (let fetched = 0; ; fetched += 1) {
    const nextName = () => `${store.root.signed.version + 1}.root.json`;
    while (await remembered(cache, 'root', nextName(), (bytes) => store.updateRoot(bytes)));
    const name = nextName();
    const bytes = await fetch(name, METADATA_LIMITS.root);
    if (bytes === null) break;
    if (fetched >= METADATA_LIMITS.rotations)
      throw refusal('RELEASE_METADATA_OVERSIZED', 'root', 'the chain of roots does not end');
    checked('root', now, bytes, () => store.updateRoot(bytes));
    await cache.write(name, bytes);
  }
  // 5.3.10: only the last root must not be expired.
  const { expires } = store.root.signed;
  if (store.root.signed.isExpired(new Date(now))) throw expired('root', expires, now);
}

/** 5.4: an older timestamp is refused, and so is the newest one when it has expired. */
async function updateTimestamp(
  store: TrustedMetadataStore,
  { fetch, cache, now }: RefreshOptions,
): Promise<void> {
  const name = 'timestamp.json';
  const kept = await cache.read(name);
  // Expired, or signed by a key that was replaced: an expired one still is a floor for the next one, the other is not
  // (5.3.11).
  if (kept !== null)
    attempt(() => {
      mustBeWellFormed('timestamp', kept);
      store.updateTimestamp(kept);
    });
  const bytes = await wanted(fetch, name, 'timestamp', METADATA_LIMITS.timestamp);
  let isSame = false;
  checked('timestamp', now, bytes, () => {
    try {
      store.updateTimestamp(bytes);
    } catch (error) {
      if (!(error instanceof EqualVersionError)) throw error;
      // 5.4.3.1: the trusted one stays in use; its expiry was not checked again.
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
  const use = (bytes: Buffer) => store.updateSnapshot(bytes, true);
  if (await remembered(cache, 'snapshot', 'snapshot.json', use)) return;
  const { version, length } = store.timestamp!.signed.snapshotMeta;
  const most = Math.min(length ?? METADATA_LIMITS.snapshot, METADATA_LIMITS.snapshot);
  const bytes = await wanted(fetch, `${version}.snapshot.json`, 'snapshot', most);
  checked('snapshot', now, bytes, () => store.updateSnapshot(bytes));
  await cache.write('snapshot.json', bytes);
}

/** 5.6: exactly the one that the snapshot names. The metadata of delegated roles is fetched when it is needed. */
async function updateTargets(
  store: TrustedMetadataStore,
  { fetch, cache, now }: RefreshOptions,
): Promise<void> {
  const update = (bytes: Buffer) => store.updateDelegatedTargets(bytes, 'targets', 'root');
  if (await remembered(cache, 'targets', 'targets.json', update)) return;
  const meta = store.snapshot!.signed.meta['targets.json'];
  if (meta === undefined) throw refusal('RELEASE_METADATA_MALFORMED', 'snapshot', 'it names no targets');
  const most = Math.min(meta.length ?? METADATA_LIMITS.targets, METADATA_LIMITS.targets);
  const bytes = await wanted(fetch, `${meta.version}.targets.json`, 'targets', most);
  checked('targets', now, bytes, () => update(bytes));
  await cache.write('targets.json', bytes);
}
