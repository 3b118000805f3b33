import { readlink } from 'node:fs/promises';
import type { TargetFile } from '@tufjs/models';
import { matchesPattern } from '../../keys/release/path-pattern.ts';
import { type TargetCustom, targetCustom } from '../../protocol/release-target.ts';
import { FLEET, fullServiceVersion, serviceOfTarget } from '../../protocol/service/name.ts';
import { metadataFolder, type Repository, readRepository } from './repository.ts';

/**
 * The released images by version, from the published metadata; read again when it has changed. Nodes verify the
 * signatures, this does not.
 */
export class Released {
  /** @returns null if nothing was ever released, as in a fleet that is older than releases */
  readonly images: () => Promise<ReadonlyMap<string, TargetCustom> | null>;

  /** @param releases of the data directory */
  constructor(releases: string) {
    this.images = perMetadata(releases, async () => {
      const repository = await readRepository(releases);
      const targets = Object.values(repository?.targets.signed.targets ?? {});
      const files = targets.filter(({ path }) => serviceOfTarget(path) === null);
      const custom = files.map((file) => targetCustom.parse(file.custom).bootwave);
      return repository && new Map(custom.map((each) => [each.version, each]));
    });
  }
}

/** As `Released`, for the bundles of services: of the core team and of teams. */
export class ReleasedBundles {
  /** By name and version, as `fleet/chrony:4.3`; `size` in bytes. @throws BootwaveError `RELEASE_REPOSITORY` */
  readonly current: () => Promise<ReadonlyMap<string, { sha256: string; size: number }>>;

  /** @param releases of the data directory */
  constructor(releases: string) {
    this.current = perMetadata(releases, async () => {
      const repository = await readRepository(releases);
      const targets = repository === null ? [] : rolesOf(repository).flatMap((role) => role.targets);
      return new Map(
        targets.flatMap(({ path, length: size, hashes: { sha256 } }) => {
          const service = serviceOfTarget(path);
          if (service === null || sha256 === undefined) return [];
          return [[fullServiceVersion(service), { sha256, size }] as const];
        }),
      );
    });
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
