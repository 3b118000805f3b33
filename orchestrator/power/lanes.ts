import { Turns } from '../../base/turns.ts';

/**
 * One piece of work at a time for each BMC, because many take one session only, and a bounded number for all of them. A deaf
 * BMC keeps those waiting that wait for it, and nobody else.
 */
export class Lanes {
  readonly #most: number;
  readonly #turns = new Map<string, { turns: Turns; users: number }>();
  readonly #waiting: (() => void)[] = [];
  #busy = 0;

  /** @param most pieces of work at once */
  constructor(most: number) {
    this.#most = most;
  }

  async take<T>(lane: string, work: () => Promise<T>): Promise<T> {
    const own = this.#turns.get(lane) ?? { turns: new Turns(), users: 0 };
    this.#turns.set(lane, own);
    own.users += 1;
    try {
      return await own.turns.take(() => this.#slot(work));
    } finally {
      own.users -= 1;
      if (own.users === 0) this.#turns.delete(lane);
    }
  }

  async #slot<T>(work: () => Promise<T>): Promise<T> {
    if (this.#busy >= this.#most) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#busy += 1;
    try {
      return await work();
    } finally {
      // Whoever waits longest takes the place over.
      const next = this.#waiting.shift();
      if (next === undefined) this.#busy -= 1;
      else next();
    }
  }
}
