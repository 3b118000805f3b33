import type { Redis } from 'ioredis';
import type { ImageStore } from '../../bootserver/http/image-store.ts';
import { compareVersions } from '../../formats/version.ts';
import type { Released } from '../../image/publish/released.ts';
import { readFloor } from './floor.ts';
import { readWithdrawn } from './withdrawn.ts';

type Choice = {
  /** Newest first. */
  published: readonly { version: string; revokes: readonly string[] }[];
  /** Null: nothing ever was. */
  released: Pick<ReadonlySet<string>, 'has'> | null;
  withdrawn: Pick<ReadonlySet<string>, 'has'>;
  floor: string | null;
};

/** All that may be given to new hardware, newest first. */
export function fitForNew({ published, released, withdrawn, floor }: Choice): string[] {
  const revoked = new Set(published.flatMap(({ revokes }) => revokes));
  return published.flatMap(({ version }) =>
    !revoked.has(version) &&
    (released === null || released.has(version)) &&
    !withdrawn.has(version) &&
    (floor === null || compareVersions(version, floor) >= 0)
      ? [version]
      : [],
  );
}

/**
 * The image for new hardware and for nodes without a wanted version: the newest published image that is released, not
 * withdrawn, not below the release floor, and not revoked in firmware by another image.
 * @param released if nothing ever was, every published image may be given
 * @param decided whether somebody decided that machines run it
 * @returns its version; null when there is none
 */
export async function defaultImage(
  images: Pick<ImageStore, 'list'>,
  redis: Redis,
  released: Pick<Released, 'images'>,
  decided: (version: string) => Promise<boolean>,
): Promise<string | null> {
  const [published, listed, withdrawn, floor] = await Promise.all([
    images.list(),
    released.images(),
    readWithdrawn(redis),
    readFloor(redis),
  ]);
  const choice = { published, released: listed, withdrawn: new Set(Object.keys(withdrawn)), floor };
  for (const version of fitForNew(choice)) if (await decided(version)) return version;
  return null;
}
