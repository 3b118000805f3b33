/**
 * What the log of decisions on this machine's disk says about images. A server has checked the seal of every line before it
 * wrote it there (fleet/decisions/keeper.ts); nothing of it is read from Redis.
 */
import { AppendedLines } from '../../base/appended-lines.ts';
import { type Entry, readEntry } from '../fleet/decisions/entry.ts';
import type { Place } from '../fleet/decisions/place.ts';
import { DecidedRollouts } from '../fleet/decisions/rollouts.ts';
import { unreadable } from './consents.ts';

export type Decided = {
  rollouts: DecidedRollouts;
  /** Members, by node. */
  places: ReadonlyMap<string, { place: Place | null }>;
  /** When a person last had a node installed that was none, or no longer; milliseconds since the epoch, by node. */
  installs: ReadonlyMap<string, number>;
  /** Images that nodes are pinned to, by node. */
  pins: ReadonlyMap<string, { image: string; until: number | null }>;
};

/** Reads only what was appended since it looked last. */
export class DecisionsHere {
  readonly #path: string;
  readonly #file: AppendedLines;
  #rollouts = new DecidedRollouts();
  readonly #places = new Map<string, { number: number; place: Place | null }>();
  readonly #installs = new Map<string, number>();
  readonly #pins = new Map<string, { image: string; until: number | null }>();
  #looking: Promise<Decided> | null = null;

  /** @param path of the journal */
  constructor(path: string) {
    this.#path = path;
    this.#file = new AppendedLines(path, { keeps: true });
  }

  /** @throws BootwaveError `SIGNER_WORDS`: nothing is signed while it is unknown what was decided */
  current(): Promise<Decided> {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = null;
    });
    return this.#looking;
  }

  async #look(): Promise<Decided> {
    try {
      await this.#file.read((lines, isWhole) => {
        if (isWhole) {
          this.#rollouts = new DecidedRollouts();
          this.#places.clear();
          this.#installs.clear();
          this.#pins.clear();
        }
        for (const { line } of lines) this.#add(readEntry(line));
      });
    } catch (cause) {
      throw unreadable(this.#path, cause);
    }
    return { rollouts: this.#rollouts, places: this.#places, installs: this.#installs, pins: this.#pins };
  }

  #add(entry: Entry | null): void {
    if (entry?.kind === 'record') this.#rollouts.add(entry);
    if (entry?.kind !== 'membership') return;
    const known = this.#places.get(entry.node);
    if (known !== undefined && entry.number < known.number) return;
    const installed = entry.place?.mode === 'installed';
    // The first decision about a node may be no more than the confirmation of what it was.
    if (installed && known?.place?.mode !== 'installed' && entry.number > 1)
      this.#installs.set(entry.node, entry.at);
    this.#places.set(entry.node, { number: entry.number, place: entry.place });
    const pin = entry.place?.pin;
    if (pin === undefined) this.#pins.delete(entry.node);
    else this.#pins.set(entry.node, pin);
  }
}
