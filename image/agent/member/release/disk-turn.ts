import { Turns } from '../../../../base/turns.ts';
import type { AskDisk, ReleaseStatus } from '../../../../protocol/agent/disk.ts';

/** One change of the disk, or of its records, at a time; reads take place in between. */
export class DiskTurn {
  readonly #ask: AskDisk;
  readonly #turns = new Turns();
  /** Changes that are under way or wait for their turn. */
  #changes = 0;
  /** The disk as it was last read. */
  #seen: ReleaseStatus | null = null;
  #looking: Promise<ReleaseStatus> | null = null;

  constructor(ask: AskDisk) {
    this.#ask = ask;
  }

  /** A change: begins when those before it have ended, whether they failed or not. */
  take<T>(work: () => Promise<T>): Promise<T> {
    this.#changes += 1;
    return this.#turns.take(work).finally(() => {
      this.#changes -= 1;
    });
  }

  /** Call it within a turn. */
  async look(): Promise<ReleaseStatus> {
    this.#seen = await this.#ask({ operation: 'release-status' });
    return this.#seen;
  }

  /**
   * For callers that only want to know. While the disk is being changed, which takes minutes on a slow one, the last
   * known state is returned at once: an answer that waited would make the node count as lost. All callers that ask
   * meanwhile share one read.
   */
  glance(): Promise<ReleaseStatus> {
    if (this.#changes > 0 && this.#seen !== null) return Promise.resolve(this.#seen);
    this.#looking ??= this.#turns
      .take(() => this.look())
      .finally(() => {
        this.#looking = null;
      });
    return this.#looking;
  }
}
