/** Which role released a target: the targets role, or one that it delegated the path to (TUF 1.0.34, 5.6.7). */
import type { Metadata, TargetFile, Targets } from '@tufjs/models';
import type { TrustedMetadataStore } from 'tuf-js/dist/store.js';
import {
  checked,
  type FetchMetadata,
  METADATA_LIMITS,
  type MetadataCache,
  remembered,
  wanted,
} from './believe.ts';
import { matchesPattern } from './path-pattern.ts';
import { refusal } from './refusals.ts';

export type Found = {
  target: TargetFile;
  /** The role that released it: `targets`, or the name of a delegated role. */
  role: string;
};

type Sources = { fetch: FetchMetadata; cache: MetadataCache; now: number };

/**
 * The file name on a server, and in the snapshot without the version: a role may be called like a path, and must not
 * name another file.
 */
export const delegatedName = (role: string): string => `${encodeURIComponent(role)}.json`;

/** The file name under which it is remembered: a role called "root" or "timestamp" must not overwrite that file. */
const cacheName = (role: string): string => `role.${delegatedName(role)}`;

/**
 * Asks the roles in the order in which they were delegated to, depth first; the first role that names the path wins,
 * and after a terminating role no other is asked.
 * @param store with targets metadata that is trusted
 * @throws BootwaveError one of `RELEASE_METADATA_CODES` when a role that had to be asked fails verification
 */
export async function findTarget(
  store: TrustedMetadataStore,
  sources: Sources,
  path: string,
): Promise<Found | null> {
  const waiting: { role: string; by: string }[] = [{ role: 'targets', by: 'root' }];
  const visited = new Set<string>();
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const { role, by } = next;
    // 5.6.7.1: so that a cycle ends.
    if (visited.has(role)) continue;
    if (visited.size >= METADATA_LIMITS.roles)
      throw refusal(
        'RELEASE_METADATA_OVERSIZED',
        'targets',
        `more than ${visited.size} roles speak for ${path}`,
      );
    visited.add(role);
    const { targets, delegations } =
      role === 'targets' ? store.targets!.signed : await load(store, sources, role, by);
    const target = Object.hasOwn(targets, path) ? targets[path] : undefined;
    if (target !== undefined) return { target, role };
    const children: typeof waiting = [];
    for (const child of Object.values(delegations?.roles ?? {})) {
      if (child.paths?.some((pattern) => matchesPattern(path, pattern)) !== true) continue;
      children.push({ role: child.name, by: role });
      if (!child.terminating) continue;
      // 5.6.7.2.1
      waiting.length = 0;
      break;
    }
    waiting.push(...children.reverse());
  }
  return null;
}

/** Verified with the keys that the delegating role names: two roles may delegate to one name with different keys. */
async function load(
  store: TrustedMetadataStore,
  { fetch, cache, now }: Sources,
  role: string,
  by: string,
): Promise<Targets> {
  const update = (bytes: Buffer) => store.updateDelegatedTargets(bytes, role as never, by as never);
  if (!(await remembered(cache, role, cacheName(role), update))) {
    const meta = store.snapshot!.signed.meta[`${role}.json`];
    if (meta === undefined)
      throw refusal('RELEASE_METADATA_ABSENT', role, 'the snapshot names no file of that role');
    const most = Math.min(meta.length ?? METADATA_LIMITS.delegated, METADATA_LIMITS.delegated);
    const bytes = await wanted(fetch, `${meta.version}.${delegatedName(role)}`, role, most);
    checked(role, now, bytes, () => update(bytes));
    await cache.write(cacheName(role), bytes);
  }
  return (store.getRole(role as never) as unknown as Metadata<Targets>).signed;
}
