import type { Confirmed, Decided, Entry, Membership } from './entry.ts';
import { type Placed, placeText } from './place.ts';
import { DecidedRollouts } from './rollouts.ts';

/** The kinds of entries that this folds. */
export type Decision = Membership | Decided | Confirmed;

export function isDecision(entry: Entry): entry is Decision {
  return entry.kind === 'membership' || entry.kind === 'record' || entry.kind === 'confirmed';
}

/** What counts of all that was decided: the last word about each node and each record. In any order, any number of times. */
export class Standing {
  readonly #nodes = new Map<string, Placed & Membership>();
  readonly #records = new Map<string, Decided>();
  /** When each node was put out last, milliseconds since the epoch. */
  readonly #out = new Map<string, number>();
  readonly rollouts = new DecidedRollouts();
  #confirmed: Confirmed | null = null;

  /** @returns false when it was known, or something later is */
  add(entry: Decision): boolean {
    switch (entry.kind) {
      case 'membership':
        if (entry.place === null)
          this.#out.set(entry.node, Math.max(entry.at, this.#out.get(entry.node) ?? 0));
        return keep(
          this.#nodes,
          entry.node,
          { ...entry, placeText: placeText(entry.place) },
          (one) => one.number,
        );
      case 'record':
        if (!keep(this.#records, entry.key, entry, (one) => one.epoch)) return false;
        this.rollouts.add(entry);
        return true;
      case 'confirmed':
        if (this.#confirmed !== null) return false;
        this.#confirmed = entry;
        return true;
    }
  }

  /** Null: what stands in Redis was not yet confirmed by a person. */
  get confirmed(): Confirmed | null {
    return this.#confirmed;
  }

  node(id: string): (Placed & Membership) | undefined {
    return this.#nodes.get(id);
  }

  /** 0: it never was. */
  putOutAt(id: string): number {
    return this.#out.get(id) ?? 0;
  }

  /** Members of which it was decided what they are held against. */
  get held(): Membership[] {
    return [...this.#nodes.values()].filter(({ as }) => as !== undefined);
  }

  record(key: string): Decided | undefined {
    return this.#records.get(key);
  }

  /** Keys of records that begin so. */
  keys(beginning: string): string[] {
    return [...this.#records.keys()].filter((key) => key.startsWith(beginning));
  }

  has(entry: Decision): boolean {
    if (entry.kind === 'confirmed') return this.#confirmed?.id === entry.id;
    return (entry.kind === 'record' ? this.record(entry.key) : this.node(entry.node))?.id === entry.id;
  }

  get entries(): Decision[] {
    const all = [...this.#nodes.values(), ...this.#records.values()];
    return this.#confirmed === null ? all : [...all, this.#confirmed];
  }
}

/** Two servers that decided at the same moment agree on which came later: by time, then by id. */
function keep<T extends { at: number; id: string }>(
  map: Map<string, T>,
  key: string,
  fresh: T,
  rank: (one: T) => number,
): boolean {
  const known = map.get(key);
  const later =
    known === undefined ||
    (rank(fresh) - rank(known) ||
      fresh.at - known.at ||
      (fresh.id > known.id ? 1 : fresh.id < known.id ? -1 : 0)) > 0;
  if (later) map.set(key, fresh);
  return later;
}
