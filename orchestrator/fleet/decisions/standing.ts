import type { Confirmed, Decided, Entry, Membership } from './entry.ts';
import { DecidedIncidents } from './incidents.ts';
import { type Placed, placeText } from './place.ts';
import { DecidedReservations } from './reservations.ts';
import { DecidedRestraints } from './restraints.ts';
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
  readonly incidents = new DecidedIncidents();
  readonly restraints = new DecidedRestraints();
  readonly reservations = new DecidedReservations();
  #confirmed: Confirmed | null = null;

  /** @returns false when it was known, or something later is */
  add(entry: Decision): boolean {
    // Also one that a later word has replaced already.
    if (entry.kind === 'membership' && entry.place === null)
      this.#out.set(entry.node, Math.max(entry.at, this.#out.get(entry.node) ?? 0));
    if (!this.isNews(entry)) return false;
    switch (entry.kind) {
      case 'membership':
        this.#nodes.set(entry.node, { ...entry, placeText: placeText(entry.place) });
        return true;
      case 'record':
        this.#records.set(entry.key, entry);
        this.rollouts.add(entry);
        this.incidents.add(entry);
        this.restraints.add(entry);
        this.reservations.add(entry);
        return true;
      case 'confirmed':
        this.#confirmed = entry;
        return true;
    }
  }

  /** Whether adding it changes anything. */
  isNews(entry: Decision): boolean {
    switch (entry.kind) {
      case 'membership':
        return isLater(entry, this.#nodes.get(entry.node), (one) => one.number);
      case 'record':
        return isLater(entry, this.#records.get(entry.key), (one) => one.epoch);
      case 'confirmed':
        return this.#confirmed === null;
    }
  }

  /** Null: what stands in Redis was not yet confirmed by a person. */
  get confirmed(): Confirmed | null {
    return this.#confirmed;
  }

  node(id: string): (Placed & Membership) | undefined {
    return this.#nodes.get(id);
  }

  /** Id of the member that has this name, in small letters. */
  named(name: string): string | undefined {
    for (const { node, place } of this.#nodes.values()) if (place?.name === name) return node;
    return undefined;
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
function isLater<T extends { at: number; id: string }>(
  fresh: T,
  known: T | undefined,
  rank: (one: T) => number,
): boolean {
  if (known === undefined) return true;
  const ahead = rank(fresh) - rank(known) || fresh.at - known.at;
  return ahead > 0 || (ahead === 0 && fresh.id > known.id);
}
