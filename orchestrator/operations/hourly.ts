/** What one person does in an hour, of what stays for ever where it is written. Of one process: all of its doors count together. */
import type { DataPaths } from '../../base/paths.ts';

const HOUR = 3600_000;

export class Hourly {
  readonly #counts = new Map<string, number>();
  #hour = 0;

  /** @returns how often in this hour, this time included. @param now milliseconds since the epoch */
  take(what: string, now: number): number {
    const hour = Math.floor(now / HOUR);
    if (hour !== this.#hour) this.#counts.clear();
    this.#hour = hour;
    const count = (this.#counts.get(what) ?? 0) + 1;
    this.#counts.set(what, count);
    return count;
  }

  /** It came to nothing. */
  giveBack(what: string): void {
    const count = this.#counts.get(what) ?? 0;
    if (count > 0) this.#counts.set(what, count - 1);
  }
}

const all = new WeakMap<DataPaths, Hourly>();

export function hourlyOf({ paths }: { paths: DataPaths }): Hourly {
  const known = all.get(paths) ?? new Hourly();
  all.set(paths, known);
  return known;
}
