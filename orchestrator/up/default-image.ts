import type { Redis } from 'ioredis';
import type { ImageStore } from '../../bootserver/http/image-store.ts';
import { compareVersions } from '../../image/version-order.ts';
import { readFloor } from '../rollout/run/floor.ts';
import { readWithdrawn } from '../rollout/run/withdrawn.ts';

/**
 * What new hardware gets when nobody chose otherwise, and nodes that are wanted to run nothing in particular: the newest
 * published image that is neither withdrawn nor below the release floor.
 * @returns its version; null when there is none
 */
export async function defaultImage(images: Pick<ImageStore, 'list'>, redis: Redis): Promise<string | null> {
  const [published, withdrawn, floor] = await Promise.all([
    images.list(),
    readWithdrawn(redis),
    readFloor(redis),
  ]);
  const may = (version: string) =>
    withdrawn[version] === undefined && (floor === null || compareVersions(version, floor) >= 0);
  return published.find(({ version }) => may(version))?.version ?? null;
}
