/**
 * Which connection may be opened now. Opening costs 5 ms of CPU here and more on the node, so a thousand requests at
 * once become a stream: no more than `rate` a second, no more than `concurrent` at a time, and each group (site) in its
 * turn, so that a site of dead nodes, each holding its place until it times out, does not hold up the others.
 *
 * Pure: time comes in as an argument.
 */
export type PaceLimits = {
  /** Connections begun per second. */
  rate: number;
  /** Connections that may begin at once after a quiet time. */
  burst: number;
  /** Connections being opened at a time. */
  concurrent: number;
  /** The most of these that one group may hold. */
  perGroup: number;
};

type Group = { waiting: Set<string>; opening: number };

export class Pacer {
  readonly #limits: PaceLimits;
  /** In the order of their turns. */
  readonly #groups = new Map<string, Group>();
  #waiting = 0;
  #opening = 0;
  /** Milliseconds between two at the rate. */
  readonly #interval: number;
  /** When a caller at exactly the rate would begin next (the TAT of the generic cell rate algorithm, ITU-T I.371). */
  #due: number;

  constructor(limits: PaceLimits, now: number) {
    this.#limits = limits;
    this.#interval = 1000 / limits.rate;
    this.#due = now;
  }

  get waiting(): number {
    return this.#waiting;
  }

  get opening(): number {
    return this.#opening;
  }

  /** `id` wants to open; asked twice, it is in the queue once. */
  want(id: string, group: string): void {
    const entry = this.#groups.get(group) ?? { waiting: new Set(), opening: 0 };
    this.#groups.set(group, entry);
    if (!entry.waiting.has(id)) this.#waiting += 1;
    entry.waiting.add(id);
  }

  /** `id` wants no more. */
  leave(id: string, group: string): void {
    const entry = this.#groups.get(group);
    if (entry?.waiting.delete(id) === true) this.#waiting -= 1;
    this.#tidy(group);
  }

  /** The next one that may open now, or null. Each one taken must be given back by `opened`. */
  take(now: number): string | null {
    if (this.#mayStartAt() > now || this.#opening >= this.#limits.concurrent) return null;
    for (const [name, group] of this.#groups) {
      if (group.opening >= this.#limits.perGroup) continue;
      const id = group.waiting.values().next().value;
      if (id === undefined) continue;
      group.waiting.delete(id);
      group.opening += 1;
      this.#waiting -= 1;
      this.#opening += 1;
      this.#due = Math.max(this.#due, now) + this.#interval;
      // To the end of the line of groups.
      this.#groups.delete(name);
      this.#groups.set(name, group);
      return id;
    }
    return null;
  }

  /** One of `group` that was taken is open or has failed. */
  opened(group: string): void {
    const entry = this.#groups.get(group);
    if (entry === undefined || entry.opening === 0) return;
    entry.opening -= 1;
    this.#opening -= 1;
    this.#tidy(group);
  }

  /** When `take` is worth asking again because time has passed; null when something else must happen first. */
  wakeAt(now: number): number | null {
    if (this.#waiting === 0 || this.#opening >= this.#limits.concurrent) return null;
    const at = this.#mayStartAt();
    return at > now ? Math.ceil(at) : null;
  }

  #mayStartAt(): number {
    return this.#due - (this.#limits.burst - 1) * this.#interval;
  }

  #tidy(name: string): void {
    const group = this.#groups.get(name);
    if (group !== undefined && group.waiting.size === 0 && group.opening === 0) this.#groups.delete(name);
  }
}
