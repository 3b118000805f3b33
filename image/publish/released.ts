import { readlink } from 'node:fs/promises';
import type { TargetFile } from '@tufjs/models';
import { matchesPattern } from '../../keys/release/path-pattern.ts';
import { type TargetCustom, targetCustom } from '../../protocol/release-target.ts';
import { FLEET, serviceOfTarget } from '../../protocol/service/name.ts';
import { metadataFolder, type Repository, readRepository } from './repository.ts';

/**
 * The released images by version, from the published metadata; read again when it has changed. Nodes verify the
 * signatures, this does not.
 */
export class Released {
  readonly #releases: string;
  #seen = '';
  #images: ReadonlyMap<string, TargetCustom> | null = null;

  /** @param releases of the data directory */
  constructor(releases: string) {
    this.#releases = releases;
  }

  /** @returns null if nothing was ever released, as in a fleet that is older than releases */
  async images(): Promise<ReadonlyMap<string, TargetCustom> | null> {
    const link = await readlink(metadataFolder(this.#releases)).catch(() => '');
    if (link === this.#seen && link !== '') return this.#images;
    const repository = await readRepository(this.#releases);
    const targets = Object.values(repository?.targets.signed.targets ?? {});
    const files = targets.filter(({ path }) => serviceOfTarget(path) === null);
    const custom = files.map((file) => targetCustom.parse(file.custom).bootwave);
    this.#images = repository && new Map(custom.map((each) => [each.version, each]));
    this.#seen = link;
    return this.#images;
  }
}

/** As `Released`, for the bundles of services: of the core team and of teams. */
export class ReleasedBundles {
  readonly #releases: string;
  #seen = '';
  #bundles: ReadonlyMap<string, { sha256: string; size: number }> = new Map();

  /** @param releases of the data directory */
  constructor(releases: string) {
    this.#releases = releases;
  }

  /** By name and version, as `fleet/chrony:4.3`; `size` in bytes. @throws BootwaveError `RELEASE_REPOSITORY` */
  async current(): Promise<ReadonlyMap<string, { sha256: string; size: number }>> {
    const link = await readlink(metadataFolder(this.#releases)).catch(() => '');
    if (link === this.#seen) return this.#bundles;
    const repository = await readRepository(this.#releases);
    const targets = repository === null ? [] : rolesOf(repository).flatMap((role) => role.targets);
    this.#bundles = new Map(
      targets.flatMap(({ path, length: size, hashes: { sha256 } }) => {
        const service = serviceOfTarget(path);
        if (service === null || sha256 === undefined) return [];
        return [[`${service.name}:${service.version}`, { sha256, size }] as const];
      }),
    );
    this.#seen = link;
    return this.#bundles;
  }
}

/** What `read` makes of the published metadata; made again when that has changed. @param releases of the data directory */
export function perMetadata<T>(releases: string, read: () => Promise<T>): () => Promise<T> {
  let last: { link: string; value: T } | null = null;
  return async () => {
    const link = await readlink(metadataFolder(releases)).catch(() => '');
    if (last === null || last.link !== link || link === '') last = { link, value: await read() };
    return last.value;
  };
}

/** What each role releases. A team that was given other keys and has not signed since releases nothing. */
export function rolesOf({ targets, delegated }: Repository) {
  const own = {
    role: FLEET,
    expires: targets.signed.expires,
    targets: Object.values(targets.signed.targets),
  };
  const teams = Object.values(targets.signed.delegations?.roles ?? {}).flatMap(({ name, paths = [] }) => {
    const metadata = delegated.get(name)?.metadata;
    if (metadata === undefined) return [];
    try {
      targets.verifyDelegate(name as never, metadata as never);
    } catch {
      return [];
    }
    const isTheirs = ({ path }: TargetFile) => paths.some((pattern) => matchesPattern(path, pattern));
    const { expires } = metadata.signed;
    return [{ role: name, expires, targets: Object.values(metadata.signed.targets).filter(isTheirs) }];
  });
  return [own, ...teams];
}
