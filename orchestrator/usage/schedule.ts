/** When each node is asked next: spread over the time between two asks, so that a fleet never answers at once. Pure. */

/** Milliseconds between two asks of a node, and the most asks a second of all of them together. */
export type Pace = { every: number; rate: number };

export class Schedule {
  readonly #pace: Pace;
  readonly #random: () => number;
  readonly #due = new Map<string, number>();

  /** @param random from 0 up to 1 */
  constructor(pace: Pace, random: () => number) {
    this.#pace = pace;
    this.#random = random;
  }

  /** Milliseconds in which all of so many nodes are asked once. */
  round(nodes: number): number {
    return Math.max(this.#pace.every, (nodes * 1000) / this.#pace.rate);
  }

  /**
   * @param nodes all that can be asked; others are forgotten
   * @param most that are taken now
   * @returns who is due, longest first
   */
  take(nodes: readonly string[], most: number, now: number): string[] {
    const here = new Set(nodes);
    for (const node of this.#due.keys()) if (!here.has(node)) this.#due.delete(node);
    // A small fleet has not to wait for a whole round to be heard of first.
    const soon = (nodes.length * 1000) / this.#pace.rate;
    for (const node of nodes) if (!this.#due.has(node)) this.#due.set(node, now + this.#random() * soon);
    const due = nodes.filter((node) => this.#due.get(node)! <= now);
    const taken = due.sort((a, b) => this.#due.get(a)! - this.#due.get(b)!).slice(0, Math.max(0, most));
    const round = this.round(nodes.length);
    for (const node of taken) this.#due.set(node, now + round * (0.9 + 0.2 * this.#random()));
    return taken;
  }

  /** It has nothing to say: it is not asked before then. */
  postpone(node: string, until: number): void {
    if (this.#due.has(node)) this.#due.set(node, until);
  }
}
