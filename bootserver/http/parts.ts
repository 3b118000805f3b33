import type { ImageStore } from './image-store.ts';

/**
 * The text of a machine's iPXE script, or `undefined` when there is none for it. A thrown BootwaveError is answered
 * with 503 and its code: the machine asks again.
 * @param mac lower case with colons
 */
export type ScriptSource = (
  mac: string,
  request: { address: string; query: URLSearchParams },
) => Promise<string | undefined>;

/** What the routes serve from. */
export type Parts = {
  images: ImageStore;
  /** The loaders folder. */
  loaders: string;
  script: ScriptSource;
  /** The folder of release metadata; without it none is served. */
  metadata?: string;
  /** The folder of bundles, by their SHA-256; without it none is served. */
  bundles?: string;
  /** The CRL of the nodes CA, DER; without it none is served. */
  crl?: () => Buffer;
};
