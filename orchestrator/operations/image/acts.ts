import { defined } from '../../../base/defined.ts';
import { BootwaveError, whatOf } from '../../../base/error.ts';
import { type Manifest, publishedVersions, readManifest } from '../../../image/build/manifest.ts';
import { release, unrelease } from '../../../image/publish/publish.ts';
import { Released } from '../../../image/publish/released.ts';
import { readRepository } from '../../../image/publish/repository.ts';
import { ANY_MACHINE, type Firmware, type Machines } from '../../../protocol/release-target.ts';
import { auditLine } from '../../fleet/audit/audit.ts';
import { commit } from '../../fleet/commit.ts';
import {
  type AdvisoryPackages,
  advisoryPackagesSchema,
  readAdvisories,
  writeAdvisories,
} from '../../releases/advisories.ts';
import { diffImages, type ImageDiff } from '../../releases/image-diff.ts';
import { PublishedManifests } from '../../releases/published.ts';
import { vulnerabilitiesOf } from '../../releases/vulnerabilities.ts';
import { mustBeWithdrawn, readWithdrawn, reinstate, withdraw } from '../../releases/withdrawn.ts';
import { Consents, recordConsent } from '../../signer/consents.ts';
import { signerFiles } from '../../signer/files.ts';
import type { Acting } from '../operation.ts';

type For = { firmware?: Firmware[] | undefined; products?: string[] | undefined };
type Keyed = { version: string; keys: readonly string[] };

export async function publish({ version, keys: media, ...which }: Keyed & For, { paths }: Acting) {
  const machines = machinesOf(which);
  const manifest = await readManifest(paths.images, version);
  await release(manifest, { paths, media, machines });
  return { version, sha256: manifest.sha256, machines };
}

export async function list(_: object, { paths }: Acting): Promise<(Manifest & { released: boolean })[]> {
  const released = await new Released(paths.releases).images();
  const versions = await publishedVersions(paths.images);
  return Promise.all(
    versions.map(async (version) => ({
      ...(await readManifest(paths.images, version)),
      released: released?.has(version) === true,
    })),
  );
}

export async function diff(
  { from, to }: { from: string; to: string },
  { paths }: Acting,
): Promise<ImageDiff> {
  const [old, young] = await Promise.all([readManifest(paths.images, from), readManifest(paths.images, to)]);
  return diffImages(old, young, await readAdvisories(paths));
}

/** @throws BootwaveError `ADVISORIES_INVALID` */
export async function importAdvisories(
  { packages: given }: { packages: AdvisoryPackages },
  { fleet, paths, by }: Acting,
) {
  const { data: packages, success } = advisoryPackagesSchema.safeParse(given);
  if (!success)
    throw new BootwaveError({
      code: 'ADVISORIES_INVALID',
      what: 'these are not advisories: the name of a package, a CVE or a version is invalid',
      unchanged: 'what was imported before is kept',
      next: 'import the file of the security tracker as it is',
    });
  const imported = { at: by.at, by: by.actor, packages };
  await writeAdvisories(paths, imported);
  const reason = `advisories of ${Object.keys(packages).length} packages`;
  await commit(fleet.redis, { records: [], audit: [auditLine({ ...by, action: 'import', reason })] });
  const [newest] = await publishedVersions(paths.images);
  // It is imported: a manifest that cannot be read is no reason to say that it was not.
  const manifest = newest === undefined ? null : await new PublishedManifests(paths.images).manifest(newest);
  return {
    packages: Object.keys(packages).length,
    cves: Object.values(packages).reduce((sum, cves) => sum + Object.keys(cves).length, 0),
    open: (manifest && vulnerabilitiesOf(manifest, imported)?.length) ?? null,
  };
}

export const withdrawn = (_: object, { fleet }: Acting) => readWithdrawn(fleet.redis);

export async function withdrawImage(
  { version, keys: media, reason }: Keyed & { reason: string },
  { fleet, paths, by }: Acting,
) {
  await readManifest(paths.images, version);
  const changed = await withdraw(fleet.redis, version, reason, by);
  await recordConsent(signerFiles(paths).consents, { say: 'withdraw', version }, by);
  // New hardware first: that needs no key that may have to be fetched.
  await unrelease([version], { paths, media }).catch((error: unknown) => {
    throw halfWithdrawn(version, error);
  });
  return { version, changed };
}

/** The one half is done and holds; to say that nothing was changed would have it done again, or undone. */
function halfWithdrawn(version: string, cause: unknown): BootwaveError {
  const { code, next } =
    cause instanceof BootwaveError ? cause : { code: 'IMAGE_HALF_WITHDRAWN', next: undefined };
  const why = whatOf(cause);
  return new BootwaveError({
    code,
    what: `image ${version} is withdrawn: no order and no new hardware gets it; but it is still released: ${why}`,
    unchanged: 'the release metadata: a node that holds an order for it may still install it',
    next: `${next === undefined ? '' : `${next}; `}then say the same again: bootwave image withdraw ${version}`,
    cause,
  });
}

export async function reinstateImage(
  { version, keys: media, ...which }: Keyed & For,
  { fleet, paths, by }: Acting,
) {
  const { consents } = signerFiles(paths);
  const { withdrawn: said } = await new Consents(consents).current();
  // Checked before anything is released: only a withdrawal can be taken back.
  if (!said.has(version)) await mustBeWithdrawn(fleet.redis, version);
  // A fleet that is older than releases has none to add it to.
  if ((await readRepository(paths.releases)) !== null)
    await release(await readManifest(paths.images, version), { paths, media, machines: machinesOf(which) });
  const why = await reinstate(fleet.redis, version, by).catch((error: unknown) => {
    // A rollout or a restored database may have ended the withdrawal, but not for the signer.
    const forgotten = error instanceof BootwaveError && error.code === 'IMAGE_NOT_WITHDRAWN';
    if (forgotten && said.has(version)) return 'by an operator';
    throw error;
  });
  await recordConsent(consents, { say: 'reinstate', version }, by);
  return { version, why };
}

function machinesOf({ firmware, products }: For): Machines {
  return { ...ANY_MACHINE, ...defined({ firmware, products }) };
}
