import { BootwaveError, messageOf } from '../../../base/error.ts';
import { type Manifest, publishedVersions, readManifest } from '../../../image/build/manifest.ts';
import { release, unrelease } from '../../../image/publish/publish.ts';
import { Released } from '../../../image/publish/released.ts';
import { readRepository } from '../../../image/publish/repository.ts';
import { ANY_MACHINE, type Firmware, type Machines } from '../../../protocol/release-target.ts';
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
  const why = cause instanceof BootwaveError ? cause.what : messageOf(cause);
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
  // Before anything is released: what is not withdrawn is nothing to take back.
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
  return {
    ...ANY_MACHINE,
    ...(firmware === undefined ? {} : { firmware }),
    ...(products === undefined ? {} : { products }),
  };
}
