import type { Redis } from 'ioredis';
import type { ImageStore } from '../../bootserver/http/image-store.ts';
import { compareVersions } from '../../formats/version.ts';
import type { Released } from '../../image/publish/released.ts';
import { readFloor } from './floor.ts';
import { readWithdrawn } from './withdrawn.ts';

/**
 * The image for new hardware and for nodes without a wanted version: the newest published image that is released, not
 * withdrawn, not below the release floor, and not revoked in firmware by another image.
 * @param released if nothing ever was, every published image may be given
 * @returns its version; null when there is none
 */
export async function defaultImage(
  images: Pick<ImageStore, 'list'>,
  redis: Redis,
  released: Pick<Released, 'images'>,
): Promise<string | null> {
  const [published, listed, withdrawn, floor] = await Promise.all([
    images.list(),
    released.images(),
    readWithdrawn(redis),
    readFloor(redis),
  ]);
  const revoked = new Set(published.flatMap(({ revokes }) => revokes));
  const may = (version: string) =>
    !revoked.has(version) &&
    (listed === null || listed.has(version)) &&
    withdrawn[version] === undefined &&
    (floor === null || compareVersions(version, floor) >= 0);
  return published.find(({ version }) => may(version))?.version ?? null;
}
