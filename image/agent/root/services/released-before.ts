/**
 * What the metadata said of a bundle, kept beside it in root's store: a node that has no server starts what it ran, also
 * where the metadata had moved on and could not be completed.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeFileAtomic } from '../../../../base/files.ts';
import { instanceId } from '../../../../protocol/agent/units.ts';
import type { OrderedService } from '../../../../protocol/order.ts';
import { type BundleCustom, bundleCustom } from '../../../../protocol/service/bundle.ts';
import { bundleOf, serviceOf } from '../../../../protocol/service/name.ts';

type Released = Pick<BundleCustom, 'rootHash' | 'dataBytes' | 'manifest'>;

/** Several services may have the same bundle, each with its own manifest. All names begin with the digest. */
const fileOf = (store: string, { name, version, sha256 }: OrderedService): string =>
  join(store, `${sha256}.${instanceId(serviceOf(name))}_${version}.json`);

/** Only for a bundle that is in the store. Never throws: it is asked for again. */
export async function keepReleased(store: string, service: OrderedService, bundle: Released): Promise<void> {
  const { name, version } = bundleOf(service);
  const { rootHash, dataBytes, manifest } = bundle;
  const text = JSON.stringify({
    bootwave: { format: 1, service: name, version, rootHash, dataBytes, manifest },
  });
  const path = fileOf(store, service);
  if ((await readFile(path, 'utf8').catch(() => '')) !== text)
    await writeFileAtomic(path, text).catch(() => {});
}

/** @returns null where nothing is kept, or it is not understood any more */
export async function releasedBefore(store: string, service: OrderedService): Promise<Released | null> {
  try {
    const { bootwave } = bundleCustom.parse(JSON.parse(await readFile(fileOf(store, service), 'utf8')));
    return bootwave.service === serviceOf(service.name) && bootwave.version === service.version
      ? bootwave
      : null;
  } catch {
    return null;
  }
}
