import { createHash } from 'node:crypto';
import { BootwaveError } from '../../../../../base/error.ts';
import type { EspFiles } from '../../../../../image/agent/root/release/esp.ts';

export class PowerCut extends Error {}

/**
 * A FAT as bad as a real one may be: bytes that were not synced are garbage after a power cut, and a rename that was
 * under way leaves the old name, the new one, or both. The power goes at the n-th operation.
 */
export class Volume implements EspFiles {
  readonly #files = new Map<string, { data: Buffer; synced: boolean }>();
  readonly #capacity: number;
  #left = Number.POSITIVE_INFINITY;
  /** Chooses what a cut leaves of the operation under way. */
  #chance = 0;
  /** Names that were opened for writing or removed since the last cut. */
  readonly touched = new Set<string>();

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  cutAfter(operations: number, chance: number): void {
    this.#left = operations;
    this.#chance = chance;
    this.touched.clear();
  }

  /** What is there after the power came back. */
  restart(): void {
    this.#left = Number.POSITIVE_INFINITY;
    for (const file of this.#files.values())
      if (!file.synced) file.data = Buffer.alloc(Math.floor(file.data.length * this.#chance), 0xe5);
  }

  put(name: string, data: Buffer): void {
    this.#files.set(name, { data, synced: true });
  }

  content(name: string): Buffer | undefined {
    return this.#files.get(name)?.data;
  }

  async list() {
    return [...this.#files].map(([name, { data }]) => ({ name, size: data.length }));
  }

  async space() {
    const used = [...this.#files.values()].reduce((sum, { data }) => sum + data.length, 0);
    return { free: this.#capacity - used, cluster: 1 };
  }

  async *read(name: string) {
    yield this.#files.get(name)!.data;
  }

  async create(name: string) {
    this.#step();
    this.touched.add(name);
    const file = { data: Buffer.alloc(0), synced: false };
    this.#files.set(name, file);
    return {
      write: async (bytes: Uint8Array) => {
        this.#step();
        file.data = Buffer.concat([file.data, bytes]);
        file.synced = false;
        if ((await this.space()).free < 0) throw Object.assign(new Error('full'), { code: 'ENOSPC' });
      },
      sync: async () => {
        this.#step();
        file.synced = true;
      },
      close: async () => {},
    };
  }

  async digest(name: string) {
    return createHash('sha256').update(this.#files.get(name)!.data).digest('hex');
  }

  async rename(from: string, to: string) {
    if (this.#files.has(to)) throw new BootwaveError({ code: 'ESP_NAME_TAKEN', what: to });
    this.touched.add(from);
    const file = this.#files.get(from)!;
    this.#step(() => {
      if (this.#chance <= 0.3) return;
      this.#files.set(to, file);
      // The repair before the next change empties the second of two names.
      if (this.#chance > 0.6) this.#files.set(from, { data: Buffer.alloc(0), synced: true });
      else this.#files.delete(from);
    });
    this.#files.delete(from);
    this.#files.set(to, file);
  }

  async remove(name: string) {
    this.touched.add(name);
    this.#step(() => {
      if (this.#chance > 0.5) this.#files.delete(name);
    });
    this.#files.delete(name);
  }

  #step(half?: () => void): void {
    this.#left -= 1;
    if (this.#left >= 0) return;
    if (this.#left === -1) half?.();
    throw new PowerCut();
  }
}
