import { stat } from 'node:fs/promises';
import { isVersion } from '../../formats/version.ts';
import { type Manifest, manifestFile, readManifest } from '../../image/build/manifest.ts';

/**
 * Manifests by version. Each is read once and again when its file has changed: every enrolment and every order asks.
 */
export class PublishedManifests {
  readonly #images: string;
  readonly #known = new Map<string, { file: string; manifest: Manifest }>();

  constructor(images: string) {
    this.#images = images;
  }

  /**
   * @param version any text, from a machine or the database
   * @returns null when no such image is published, or its manifest is not readable
   */
  async manifest(version: string): Promise<Manifest | null> {
    if (!isVersion(version)) return null;
    try {
      const { ino, mtimeMs, size } = await stat(manifestFile(this.#images, version));
      const file = `${ino} ${mtimeMs} ${size}`;
      const known = this.#known.get(version);
      if (known?.file === file) return known.manifest;
      const manifest = await readManifest(this.#images, version);
      this.#known.set(version, { file, manifest });
      return manifest;
    } catch {
      this.#known.delete(version);
      return null;
    }
  }
}

export class PublishedPcr11 {
  readonly #manifests: PublishedManifests;

  constructor(images: string) {
    this.#manifests = new PublishedManifests(images);
  }

  /** @returns PCR 11 that this image measures, hex; null as `manifest` */
  async of(version: string): Promise<string | null> {
    return (await this.#manifests.manifest(version))?.pcr11 ?? null;
  }
}

/**
 * What an order contains about an image, for each version on the way or to go back to; in the rollout of a
 * configuration, about its documents. `size` in bytes.
 */
export type ImageFacts = Readonly<Record<string, { sha256: string; size: number }>>;
