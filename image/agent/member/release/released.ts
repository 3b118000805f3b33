/** Is an ordered image released? Asked before a byte of it is fetched, and again before it is started. */
import type * as z from 'zod/mini';
import { BootwaveError } from '../../../../base/error.ts';
import type { MetadataCache } from '../../../../keys/release/believe.ts';
import type { Found } from '../../../../keys/release/delegated.ts';
import { type Released, refresh } from '../../../../keys/release/refresh.ts';
import type { RequestedImage } from '../../../../protocol/agent/disk.ts';
import type { Order } from '../../../../protocol/order.ts';
import { type Machine, targetCustom, targetName, unsuitable } from '../../../../protocol/release-target.ts';
import { metadataAt } from './fetch-metadata.ts';

export type ReleasedParts = {
  /** The root that this node's image contains. */
  root: Buffer;
  memory: MetadataCache;
  machine: Machine;
  /** URL below which the boot server has images and, in `metadata/`, what is released; null while none is known. */
  images(): string | null;
  /** Milliseconds since the epoch. */
  now(): number;
  pace?: { whole: number };
};

/**
 * Refuses an image that is not exactly what the fleet's targets keys released, for a machine like this one. An
 * order's time is signed too: a clock earlier than that time is wrong, and expired metadata must not profit from it.
 * @throws BootwaveError `RELEASE_NOT_LISTED`, `RELEASE_DIFFERS`, `RELEASE_WRONG_MACHINE`, `RELEASE_TARGET`, one of
 * `RELEASE_METADATA_CODES`; the signal's reason
 */
export async function mustBeReleased(
  image: RequestedImage,
  { issuedAt }: Pick<Order, 'issuedAt'>,
  parts: ReleasedParts,
  signal: AbortSignal,
): Promise<void> {
  const { targets } = await released(issuedAt, parts, signal);
  checkListed(image, targets, parts.machine);
}

/**
 * The released target at a path that is no image: released by the targets role or by the team that it delegated the
 * path to.
 * @throws BootwaveError `RELEASE_NOT_LISTED`, one of `RELEASE_METADATA_CODES`; the signal's reason
 */
export async function releasedTarget(
  path: string,
  { issuedAt }: Pick<Order, 'issuedAt'>,
  parts: ReleasedParts,
  signal: AbortSignal,
): Promise<Found> {
  const found = await (await released(issuedAt, parts, signal)).find(path);
  if (found !== null) return found;
  throw refusal(
    'RELEASE_NOT_LISTED',
    `${JSON.stringify(path.slice(0, 256))} is not among what the fleet or one of its teams has released`,
    'have the team release it: bootwave team publish TEAM FILE',
  );
}

async function released(issuedAt: number, parts: ReleasedParts, signal: AbortSignal): Promise<Released> {
  const base = parts.images();
  if (base === null)
    throw refusal(
      'RELEASE_METADATA_UNREACHABLE',
      'this node knows no boot server now that could say what is released',
      'try again when the node is connected',
    );
  return refresh({
    root: parts.root,
    cache: parts.memory,
    fetch: metadataAt(`${base}/metadata`, signal, parts.pace),
    now: Math.max(parts.now(), issuedAt),
  });
}

function checkListed(image: RequestedImage, targets: Released['targets'], machine: Machine): void {
  const { version, sha256, size } = image;
  const name = targetName(version);
  const target = Object.hasOwn(targets, name) ? targets[name] : undefined;
  if (target === undefined)
    throw refusal(
      'RELEASE_NOT_LISTED',
      `image ${version} is not among what the fleet has released`,
      `release it on the boot server: bootwave image publish ${version}`,
    );
  if (target.hashes.sha256 !== sha256 || target.length !== size)
    throw refusal(
      'RELEASE_DIFFERS',
      `the ordered image ${version} is not the one that was released: its digest or size differs`,
      'find out who issued that order',
    );
  const custom = targetCustom.safeParse(target.custom);
  if (!custom.success || custom.data.bootwave.version !== version)
    throw refusal(
      'RELEASE_TARGET',
      `what is said of the released image ${version} is not understood here: ${issueOf(custom.error)}`,
      'release it with a Bootwave that this node understands',
    );
  const why = unsuitable(custom.data.bootwave.machines, machine);
  if (why !== null)
    throw refusal(
      'RELEASE_WRONG_MACHINE',
      `image ${version} must not run here: ${why}`,
      'order another image',
    );
}

function issueOf(error: z.core.$ZodError | undefined): string {
  const first = error?.issues[0];
  return first === undefined ? 'it names another version' : `${first.path.join('.')}: ${first.message}`;
}

function refusal(code: string, what: string, next: string): BootwaveError {
  return new BootwaveError({ code, what, unchanged: 'nothing was fetched, written or started', next });
}
