/**
 * What the fleet has released of the services that an order names, as root itself finds out: the agent hands over the
 * metadata that it fetched, and root believes nothing in it but signatures.
 */
import { constants } from 'node:fs';
import { mkdir, open } from 'node:fs/promises';
import { join } from 'node:path';
import { BootwaveError, messageOf } from '../../../../base/error.ts';
import { writeFileAtomic } from '../../../../base/files.ts';
import type { FetchMetadata, MetadataCache } from '../../../../keys/release/believe.ts';
import { type Released, refresh } from '../../../../keys/release/refresh.ts';
import { RELEASE_METADATA_CODES } from '../../../../keys/release/refusals.ts';
import type { Order, OrderedService } from '../../../../protocol/order.ts';
import { bundleCustom } from '../../../../protocol/service/bundle.ts';
import { bundleTarget, serviceOf } from '../../../../protocol/service/name.ts';
import type { Wanted } from './plan.ts';
import { releasedBefore } from './released-before.ts';

export type ReleasePlaces = {
  /** The root of the release metadata in this image. */
  releaseRoot: Buffer;
  /** Folder of the agent's metadata; the agent may write anything there. */
  handed: string;
  /** Folder of root's own. */
  believed: string;
  /** Root's bundles. */
  store: string;
  /** Milliseconds since the epoch. */
  now(): number;
};

/** Bytes; no file of a role may be longer (METADATA_LIMITS). */
const MOST = 4 * 2 ** 20;

/**
 * Each service of the order with what was released of it, or with why it is refused: `SERVICE_NOT_RELEASED`,
 * `SERVICE_DIFFERS`, `SERVICE_TARGET`, one of `RELEASE_METADATA_CODES`. Metadata that has expired since the order was
 * signed still speaks for bundles that root has: what ran goes on, and starts after a boot without a server.
 * So does what was said of such a bundle when it came in, where metadata moved on and could not be completed.
 * @param bundles digests of the bundles in root's store
 */
export async function wantedOf(
  order: Pick<Order, 'issuedAt' | 'services'>,
  bundles: ReadonlySet<string>,
  places: ReleasePlaces,
): Promise<Wanted[]> {
  const { now, releaseRoot: root } = places;
  const cache = believed(places.believed);
  const own = at(places.believed);
  const fetch: FetchMetadata = async (name, most) => (await at(places.handed)(name, most)) ?? own(name, most);
  const fresh = await attempt(refresh({ root, cache, fetch, now: Math.max(now(), order.issuedAt) }));
  const kept =
    fresh instanceof BootwaveError
      ? await attempt(refresh({ root, cache, fetch: own, now: order.issuedAt }))
      : fresh;
  const wanted: Wanted[] = [];
  for (const service of order.services) {
    const released = bundles.has(service.sha256) ? kept : fresh;
    const found =
      released instanceof BootwaveError ? released : await attempt(releasedBundle(service, released));
    if (!(found instanceof BootwaveError)) wanted.push({ service, bundle: found });
    else {
      const isKept = bundles.has(service.sha256) && saysNothing(found);
      const bundle = isKept ? await releasedBefore(places.store, service) : null;
      wanted.push(bundle === null ? { service, refused: found } : { service, bundle });
    }
  }
  return wanted;
}

/** Keys that do not count any more do say something; so does an answer that it is not released, or is another one. */
const saysNothing = ({ code }: BootwaveError): boolean =>
  RELEASE_METADATA_CODES.some((one) => one === code) && code !== 'RELEASE_METADATA_SIGNATURE';

async function releasedBundle(service: OrderedService, released: Released) {
  const { name, version, sha256, size } = service;
  const shown = `${name}:${version}`;
  const found = await released.find(bundleTarget(service));
  if (found === null)
    throw refusal(
      'SERVICE_NOT_RELEASED',
      `${shown} is not among what the fleet or one of its teams has released`,
      'publish it, or order a version that is released',
    );
  const { target } = found;
  if (target.hashes.sha256 !== sha256 || target.length !== size)
    throw refusal(
      'SERVICE_DIFFERS',
      `the ordered bundle of ${shown} is not the one that was released: its digest or size differs`,
      'find out who issued that order',
    );
  const parsed = bundleCustom.safeParse(target.custom);
  const custom = parsed.data?.bootwave;
  if (
    custom === undefined ||
    custom.service !== serviceOf(name) ||
    custom.version !== version ||
    custom.dataBytes > size
  )
    throw refusal(
      'SERVICE_TARGET',
      `what is said of the released bundle of ${shown} is not understood here: ${issueOf(parsed.error)}`,
      'roll out an image that understands it, or publish the service for this one',
    );
  return custom;
}

/** Names of files: what a server calls `<version>.targets.json` is remembered as `targets.json` (MetadataMemory). */
function remembered(name: string): string {
  const [, rest = name] = /^\d+\.(.+)$/.exec(name) ?? [];
  if (rest === 'root.json' || rest === name) return name;
  return rest === 'snapshot.json' || rest === 'targets.json' ? rest : `role.${rest}`;
}

const at =
  (folder: string): FetchMetadata =>
  (name, most) =>
    readPlain(join(folder, remembered(name)), most);

/** What another user could have put there is no reason to hang or to fill the memory: a device, a pipe, a huge file. */
async function readPlain(path: string, most: number): Promise<Buffer | null> {
  const handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK).catch(
    () => null,
  );
  if (handle === null) return null;
  try {
    const stat = await handle.stat();
    if (!stat.isFile() || stat.size > most) return null;
    const bytes = Buffer.alloc(stat.size);
    const { bytesRead } = await handle.read(bytes, 0, stat.size, 0);
    return bytes.subarray(0, bytesRead);
  } finally {
    await handle.close();
  }
}

/** The state is a cache: what cannot be kept there is asked for again. */
const believed = (folder: string): MetadataCache => ({
  read: (name) => readPlain(join(folder, name), MOST),
  async write(name, bytes) {
    await mkdir(folder, { recursive: true, mode: 0o700 }).catch(() => {});
    await writeFileAtomic(join(folder, name), bytes).catch(() => {});
  },
});

async function attempt<T>(work: Promise<T>): Promise<T | BootwaveError> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof BootwaveError) return error;
    return refusal('SERVICE_TARGET', messageOf(error), 'look at the journal of this node');
  }
}

function issueOf(
  error: { issues: readonly { path: readonly PropertyKey[]; message: string }[] } | undefined,
): string {
  const first = error?.issues[0];
  return first === undefined
    ? 'it names another service'
    : `${first.path.map(String).join('.')}: ${first.message}`;
}

function refusal(code: string, what: string, next: string): BootwaveError {
  return new BootwaveError({ code, what, unchanged: 'nothing was started', next });
}
