import { stat } from 'node:fs/promises';
import { manifestFile, readManifest } from '../../image/build/manifest.ts';
import { isVersion } from '../../image/build/version.ts';

/** PCR 11 by published version. A manifest is read once and anew when its file has changed: every enrolment asks. */
export class PublishedPcr11 {
  readonly #images: string;
  readonly #known = new Map<string, { file: string; pcr11: string }>();

  constructor(images: string) {
    this.#images = images;
  }

  /**
   * @param version as a machine reports it: anything
   * @returns PCR 11 that this image measures, hex; null when no such image is published, or its manifest says nothing
   */
  async of(version: string): Promise<string | null> {
    if (!isVersion(version)) return null;
    try {
      const { ino, mtimeMs, size } = await stat(manifestFile(this.#images, version));
      const file = `${ino} ${mtimeMs} ${size}`;
      const known = this.#known.get(version);
      if (known?.file === file) return known.pcr11;
      const { pcr11 } = await readManifest(this.#images, version);
      this.#known.set(version, { file, pcr11 });
      return pcr11;
    } catch {
      this.#known.delete(version);
      return null;
    }
  }
}
