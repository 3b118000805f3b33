import { Turns } from '../../base/turns.ts';

/**
 * One piece of work at a time for each BMC, because many take one session only, and a bounded number for all of them. A deaf
 * BMC keeps those waiting that wait for it. However many of a site are slow, each other site has a place at once.
 */
export class Lanes {
  readonly #most: number;
  readonly #each: number;
  readonly #turns = new Map<string, { turns: Turns; users: number }>();
  readonly #held = new Map<string, number>();
  readonly #waiting: { site: string; go: () => void }[] = [];
  #busy = 0;

  /**
   * @param most pieces of work at once; a site that has none has one more
   * @param each of them for one site
   */
  constructor(most: number, each: number) {
    this.#most = most;
    this.#each = each;
  }

  async take<T>(lane: string, site: string, work: () => Promise<T>): Promise<T> {
    const own = this.#turns.get(lane) ?? { turns: new Turns(), users: 0 };
    this.#turns.set(lane, own);
    own.users += 1;
    try {
      return await own.turns.take(() => this.#place(site, work));
    } finally {
      own.users -= 1;
      if (own.users === 0) this.#turns.delete(lane);
    }
  }

  async #place<T>(site: string, work: () => Promise<T>): Promise<T> {
    if (this.#may(site)) this.#count(site, 1);
    else await new Promise<void>((go) => this.#waiting.push({ site, go }));
    try {
      return await work();
    } finally {
      this.#count(site, -1);
      this.#next();
    }
  }

  #of(site: string): number {
    return this.#held.get(site) ?? 0;
  }

  #may(site: string): boolean {
    const held = this.#of(site);
    return held === 0 || (held < this.#each && this.#busy < this.#most);
  }

  #count(site: string, change: 1 | -1): void {
    this.#busy += change;
    const held = this.#of(site) + change;
    if (held === 0) this.#held.delete(site);
    else this.#held.set(site, held);
  }

  /** Of the sites that hold fewest, whoever waits longest takes the place over. */
  #next(): void {
    const [first] = this.#waiting
      .filter(({ site }) => this.#may(site))
      .sort((a, b) => this.#of(a.site) - this.#of(b.site));
    if (first === undefined) return;
    this.#waiting.splice(this.#waiting.indexOf(first), 1);
    this.#count(first.site, 1);
    first.go();
  }
}
