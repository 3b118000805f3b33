/** How one file of release metadata is fetched, checked and remembered; the same for every role. */
import { refusal, told } from './refusals.ts';
import { mustBeWellFormed } from './well-formed.ts';

export const METADATA_LIMITS = {
  /** Bytes. The files of a larger role are limited by the role above it, and by these limits. */
  root: 64 * 1024,
  timestamp: 16 * 1024,
  snapshot: 64 * 1024,
  targets: 4 * 1024 * 1024,
  delegated: 1024 * 1024,
  /**
   * Most new roots that are fetched in one run (TUF 1.0.34, 5.3.3): more than this is an attacker's endless chain. A
   * fleet that changes a key every week reaches this number in twenty years, and a client that has followed some of
   * them continues from there.
   */
  rotations: 1024,
  /** Roles that are asked about one path (5.6.7). */
  roles: 32,
} as const;

/** @returns null when there is no such file; everything else that goes wrong is thrown */
export type FetchMetadata = (name: string, most: number) => Promise<Buffer | null>;

/** What was trusted last, by file name. Losing it costs only the protection against older metadata. */
export interface MetadataCache {
  read(name: string): Promise<Buffer | null>;
  write(name: string, bytes: Buffer): Promise<void>;
}

/** What was trusted before is verified again: anybody may have changed the disk it is on. */
export async function remembered(
  cache: MetadataCache,
  role: string,
  name: string,
  use: (bytes: Buffer) => unknown,
): Promise<boolean> {
  const bytes = await cache.read(name);
  if (bytes === null) return false;
  return attempt(() => {
    mustBeWellFormed(role, bytes);
    use(bytes);
  });
}

export function attempt(work: () => unknown): boolean {
  try {
    work();
    return true;
  } catch {
    return false;
  }
}

export async function wanted(
  fetch: FetchMetadata,
  name: string,
  role: string,
  most: number,
): Promise<Buffer> {
  const bytes = await fetch(name, most);
  if (bytes !== null) return bytes;
  throw refusal('RELEASE_METADATA_ABSENT', role, `the boot server has no ${name}`);
}

/** The checks of tuf-js's store, and the checks that it leaves out. */
export function checked<T>(role: string, now: number, bytes: Buffer, use: () => T): T {
  try {
    mustBeWellFormed(role, bytes);
    return use();
  } catch (error) {
    throw told(error, role, now, bytes);
  }
}
