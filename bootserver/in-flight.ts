/** Packets that wait for the fleet or the disk: each question of a client once, and not more than can be answered. */

const LIMITS = {
  /** Packets that may wait at once, of some kB each; the next ones are dropped, clients retry. */
  waiting: 8192,
  /**
   * How many of those may be of clients that begin: under a flood of new ones, those that are half way through still get
   * their answer. Each waits 300 ms until nobody has said that the address is his (dhcp/start.ts): these are 13,000 in a
   * second, more than one processor can answer.
   */
  beginning: 4096,
} as const;

export class InFlight {
  readonly #waiting = new Map<string, Promise<void>>();
  #beginning = 0;

  /**
   * @param id of the client and its question
   * @param begins whether it is a client's first one (DISCOVER, Solicit)
   * @param work must not reject
   * @returns false: there are too many, it was not begun. A question that waits already is not begun again.
   */
  take(id: string, begins: boolean, work: () => Promise<void>): boolean {
    if (this.#waiting.has(id)) return true;
    if (this.#waiting.size >= LIMITS.waiting || (begins && this.#beginning >= LIMITS.beginning)) return false;
    if (begins) this.#beginning += 1;
    const done = work().finally(() => {
      this.#waiting.delete(id);
      if (begins) this.#beginning -= 1;
    });
    this.#waiting.set(id, done);
    return true;
  }

  async settled(): Promise<void> {
    await Promise.allSettled(this.#waiting.values());
  }
}
