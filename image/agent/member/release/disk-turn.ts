import type { AskDisk, ReleaseStatus } from '../../../../protocol/agent/disk.ts';

/** One change of the disk or of what is written about it at a time, and looks at it in between. */
export class DiskTurn {
  readonly #ask: AskDisk;
  #turn: Promise<unknown> = Promise.resolve();
  /** Changes that are under way or wait for their turn. */
  #changes = 0;
  /** The disk as it was when it was last looked at. */
  #seen: ReleaseStatus | null = null;
  #looking: Promise<ReleaseStatus> | null = null;

  constructor(ask: AskDisk) {
    this.#ask = ask;
  }

  /** A change: begins when those before it have ended, however they did. */
  take<T>(work: () => Promise<T>): Promise<T> {
    this.#changes += 1;
    return this.#after(work).finally(() => {
      this.#changes -= 1;
    });
  }

  /** To be called within a turn. */
  async look(): Promise<ReleaseStatus> {
    this.#seen = await this.#ask({ operation: 'release-status' });
    return this.#seen;
  }

  /**
   * For whoever only wants to know. While the disk is being changed, which takes minutes on a slow one, what was seen last
   * is told at once: an answer that waited for it would make the node count as lost. All who ask meanwhile share one look.
   */
  glance(): Promise<ReleaseStatus> {
    if (this.#changes > 0 && this.#seen !== null) return Promise.resolve(this.#seen);
    this.#looking ??= this.#after(() => this.look()).finally(() => {
      this.#looking = null;
    });
    return this.#looking;
  }

  #after<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#turn.then(work);
    this.#turn = mine.catch(() => {});
    return mine;
  }
}
