/** Services in the release metadata: released by the core team, or by the team that has their owner's prefix. */
import { BootwaveError } from '../../base/error.ts';
import type { BundleCustom } from '../../protocol/service/bundle.ts';
import {
  bundleTarget,
  FLEET,
  type ServiceVersion,
  serviceOfTarget,
  shownServiceVersion,
} from '../../protocol/service/name.ts';
import { type Bundled, customOf, targetOfBundle, withoutTarget, withTarget } from './bundled.ts';
import { hasBundle } from './bundles.ts';
import { change, type PublishOptions } from './publish.ts';
import { rolesOf } from './released.ts';
import { readRepository } from './repository.ts';

export type ReleasedService = ServiceVersion & {
  sha256: string;
  /** Bytes. */
  size: number;
  custom: BundleCustom;
  /** `fleet`, or the name of the team. */
  by: string;
  /** Until when the signature of its role counts; signed anew before that. */
  expires: string;
  /** Whether its bundle is in the store of this server. */
  stored: boolean;
};

/**
 * Releases a service of the core team. The same content again changes nothing.
 * @throws BootwaveError `SERVICE_OWNER`, `RELEASE_KEYS_ABSENT`, `RELEASE_CONFLICT`; what was published before stays
 */
export async function releaseService(bundled: Bundled, options: PublishOptions): Promise<void> {
  const file = targetOfBundle(bundled);
  mustBeFleets({ name: bundled.custom.service, version: bundled.custom.version });
  await change(options, withTarget(file), [bundled]);
}

/** @returns whether it was released @throws BootwaveError as `releaseService` */
export async function withdrawService(service: ServiceVersion, options: PublishOptions): Promise<boolean> {
  mustBeFleets(service);
  let was = false;
  if ((await readRepository(options.paths.releases)) === null) return was;
  await change(options, (released) => {
    const kept = withoutTarget(bundleTarget(service))(released);
    was = kept !== null;
    return kept;
  });
  return was;
}

export function mustBeFleets(service: ServiceVersion): void {
  if (service.name.startsWith(`${FLEET}/`)) return;
  const shown = shownServiceVersion(service);
  throw new BootwaveError({
    code: 'SERVICE_OWNER',
    what: `${shown} belongs to a team, not to the core team`,
    unchanged: 'nothing was published',
    next: `let its team do it: 'bootwave team release ${shown} --oci PATH --key FILE' or 'bootwave team withdraw ${shown} --key FILE'`,
  });
}

/** All that nodes would believe now, by name and in no order of versions. */
export async function releasedServices({
  releases,
  bundles,
}: PublishOptions['paths']): Promise<ReleasedService[]> {
  const repository = await readRepository(releases);
  const found: ReleasedService[] = [];
  for (const { role, expires, targets } of repository === null ? [] : rolesOf(repository))
    for (const target of targets) {
      const [service, custom, sha256] = [
        serviceOfTarget(target.path),
        customOf(target),
        target.hashes.sha256,
      ];
      if (service === null || custom === null || sha256 === undefined) continue;
      const stored = await hasBundle(bundles, sha256);
      found.push({ ...service, sha256, size: target.length, custom, by: role, expires, stored });
    }
  return found.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}
