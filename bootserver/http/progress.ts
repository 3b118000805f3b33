/** Who has fetched how much of which image, so that "sent" is reported once, when all of it is there. */
import { cover, covers, type Interval } from './coverage.ts';

/**
 * Downloads remembered at once, twice the connections; the oldest is forgotten first, which loses a line on a page. With
 * 16 intervals in each, the worst that strangers can do is about 3 MB.
 */
const MOST = 2048;

export class Progress {
  readonly #had = new Map<string, readonly Interval[]>();

  /** A download that begins at the beginning and wants everything starts anew: the machine has restarted. */
  restart(who: string): void {
    this.#had.delete(who);
  }

  /**
   * Notes bytes that went out.
   * @param goal what has to be there for the whole to count as sent
   * @returns true once, when `got` completes the goal
   */
  add(who: string, got: Interval, goal: readonly Interval[]): boolean {
    const have = cover(this.#had.get(who) ?? [], got);
    this.#had.delete(who);
    if (goal.every((want) => covers(have, want))) return true;
    this.#had.set(who, have);
    const oldest = this.#had.keys().next().value;
    if (this.#had.size > MOST && oldest !== undefined) this.#had.delete(oldest);
    return false;
  }
}
