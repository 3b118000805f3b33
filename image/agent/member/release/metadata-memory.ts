import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeFileAtomic } from '../../../../base/files.ts';
import type { MetadataCache } from '../../../../keys/release/believe.ts';

/**
 * Trusted release metadata: kept on the state partition, where a later boot finds it, and in memory, so that a disk
 * that hangs or is lost during this boot does not make the node accept older metadata. What is read back is verified
 * again.
 */
export class MetadataMemory implements MetadataCache {
  readonly #folder: string;
  readonly #known = new Map<string, Buffer>();

  constructor(folder: string) {
    this.#folder = folder;
  }

  async read(name: string): Promise<Buffer | null> {
    return this.#known.get(name) ?? (await readFile(join(this.#folder, name)).catch(() => null));
  }

  async write(name: string, bytes: Buffer): Promise<void> {
    this.#known.set(name, bytes);
    // State is a cache: that it cannot be kept is no reason to stay on an old image.
    await this.#keep(name, bytes).catch(() => {});
  }

  /** Writes it again, after the place where it is kept has changed. */
  async keep(): Promise<void> {
    for (const [name, bytes] of this.#known) await this.#keep(name, bytes);
  }

  async #keep(name: string, bytes: Buffer): Promise<void> {
    await mkdir(this.#folder, { recursive: true });
    await writeFileAtomic(join(this.#folder, name), bytes);
  }
}
