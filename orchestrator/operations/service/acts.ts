import { join } from 'node:path';
import { writeFileAtomic } from '../../../base/files.ts';
import { makingIn } from '../../../image/publish/bundles.ts';
import { withdrawnServices } from '../../../image/publish/once.ts';
import {
  mustBeFleets,
  type ReleasedService,
  releasedServices,
  releaseService,
  withdrawService,
} from '../../../image/publish/services.ts';
import { besideBundle } from '../../../image/publish/team-files.ts';
import { buildBlock } from '../../../image/services/build.ts';
import { type Packed, packImage } from '../../../image/services/pack.ts';
import { bundleTarget, shownServiceVersion } from '../../../protocol/service/name.ts';
import type { Acting } from '../operation.ts';
import { serviceIn } from './named.ts';
import { unknownService } from './shown.ts';

type Packing = { service: string; oci: string; manifest: string };

/** `service`: as people write it. */
export type Published = Omit<Packed, 'file'> & { service: string };

export async function publish(
  { service: text, oci, manifest, keys: media }: Packing & { keys: readonly string[] },
  { paths, signal }: Acting,
): Promise<Published> {
  const service = serviceIn(text);
  mustBeFleets(service);
  return makingIn(paths.bundles, async (folder) => {
    const { file, ...packed } = await packImage({
      service,
      oci,
      manifest,
      out: join(folder, 'bundle'),
      signal,
    });
    await releaseService({ file, ...packed }, { paths, media });
    return { service: shownServiceVersion(service), ...packed };
  });
}

export async function build(
  { name, keys: media }: { name: string; keys: readonly string[] },
  { paths, signal }: Acting,
): Promise<Published> {
  return makingIn(paths.bundles, async (folder) => {
    const { file, ...built } = await buildBlock(name, join(folder, 'bundle'), signal);
    await releaseService({ file, ...built }, { paths, media });
    return {
      service: shownServiceVersion({ name: built.custom.service, version: built.custom.version }),
      ...built,
    };
  });
}

export async function pack(
  { service: text, oci, manifest, out }: Packing & { out: string },
  { signal }: Acting,
): Promise<Published & { target: string }> {
  const service = serviceIn(text);
  const { file, ...packed } = await packImage({ service, oci, manifest, out, signal });
  await writeFileAtomic(
    besideBundle(file),
    `${JSON.stringify({ bootwave: packed.custom }, null, 1)}\n`,
    0o644,
  );
  return { service: shownServiceVersion(service), target: bundleTarget(service), ...packed };
}

export async function inspect(
  { service: text }: { service: string },
  { paths }: Acting,
): Promise<ReleasedService> {
  const { name, version } = serviceIn(text);
  const found = (await releasedServices(paths)).find((one) => one.name === name && one.version === version);
  if (found !== undefined) return found;
  const was = (await withdrawnServices(paths.releases)).has(bundleTarget({ name, version }));
  throw unknownService(text, was ? 'any more: it was withdrawn' : '');
}

export async function withdraw(
  { service: text, keys: media }: { service: string; keys: readonly string[] },
  { paths }: Acting,
) {
  const service = serviceIn(text);
  const changed = await withdrawService(service, { paths, media });
  if (!changed) throw unknownService(text);
  return { service: shownServiceVersion(service), changed };
}
