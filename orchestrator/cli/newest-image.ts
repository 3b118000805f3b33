import type { DataPaths } from '../../base/paths.ts';
import { ImageStore } from '../../bootserver/http/image-store.ts';

/** Version of the newest published image: what every node should run of which no other is wanted. */
export async function newestImage(paths: DataPaths): Promise<string | null> {
  const images = new ImageStore(paths.images);
  try {
    return (await images.newest())?.version ?? null;
  } finally {
    images.close();
  }
}
