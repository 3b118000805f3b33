/** Nodes that serve to their neighbours what they run: signed images and bundles, at the paths of a boot server. */
import { FLEET } from './name.ts';

export const MIRROR = {
  /** The service that does it (image/services/image-mirror). */
  service: `${FLEET}/image-mirror`,
  /** Of TCP, in its manifest. Whoever names a mirror names an address and nothing else. */
  port: 6868,
  /** Mirrors that are named for one file. */
  most: 3,
} as const;
