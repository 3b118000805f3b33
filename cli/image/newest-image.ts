import type { Redis } from 'ioredis';
import type { DataPaths } from '../../base/paths.ts';
import { ImageStore } from '../../bootserver/http/image-store.ts';
import { Released } from '../../image/publish/released.ts';
import { defaultImage } from '../../orchestrator/releases/default-image.ts';

/** What every node should run of which no other image is wanted. */
export async function newestImage(paths: DataPaths, redis: Redis): Promise<string | null> {
  const images = new ImageStore(paths.images);
  try {
    return await defaultImage(images, redis, new Released(paths.releases));
  } finally {
    images.close();
  }
}
