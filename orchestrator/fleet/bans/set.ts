import type { Bearer } from '../../../bootserver/enroll/bans.ts';
import type { AuthorityEntry, Ban, Entry, Lift, OperatorEntry } from '../decisions/entry.ts';
import { isDecision, Standing } from '../decisions/standing.ts';

/** A certificate that is revoked. `at` in milliseconds since the epoch. */
export type Revoked = { serial: string; at: number };

/** All valid entries that are known, in memory. Entries are only ever added, in any order and any number of times. */
export class BanSet {
  readonly #entries = new Map<string, Entry>();
  readonly #lifts = new Map<string, Lift[]>();
  readonly #nodes = new Map<string, Ban[]>();
  readonly #keys = new Map<string, Ban[]>();
  readonly #serials = new Map<string, Ban[]>();
  /** What is known of other decisions. */
  readonly decided = new Standing();

  /** How much is known: of two copies of one log the longer one has the higher revision. */
  get revision(): number {
    return this.#entries.size;
  }

  /** Without decisions that later ones have replaced. */
  get entries(): readonly Entry[] {
    return [...this.#entries.values(), ...this.decided.entries];
  }

  get bans(): readonly Ban[] {
    return [...this.#entries.values()].filter((entry) => entry.kind === 'ban');
  }

  has(entry: Entry): boolean {
    return isDecision(entry) ? this.decided.has(entry) : this.#entries.has(entry.id);
  }

  /** Whether adding it changes anything. */
  isNews(entry: Entry): boolean {
    return isDecision(entry) ? this.decided.isNews(entry) : !this.#entries.has(entry.id);
  }

  /** @returns false when it was known, or changes nothing any more */
  add(entry: Entry): boolean {
    if (isDecision(entry)) return this.decided.add(entry);
    if (this.#entries.has(entry.id)) return false;
    this.#entries.set(entry.id, entry);
    if (entry.kind === 'lift') grow(this.#lifts, entry.ban, entry);
    if (entry.kind !== 'ban') return true;
    for (const id of entry.nodes) grow(this.#nodes, id, entry);
    for (const key of entry.keys) grow(this.#keys, key, entry);
    for (const serial of entry.serials) grow(this.#serials, serial, entry);
    return true;
  }

  liftsOf(ban: string): readonly Lift[] {
    return this.#lifts.get(ban) ?? [];
  }

  /** Approved by two people: the caller that adds a lift has checked both signatures (`keeper.ts`). */
  isLifted(ban: string): boolean {
    return this.liftsOf(ban).length > 0;
  }

  /** The first entry about an operator's certificate; undefined: it was not revoked. */
  operator(serial: string): OperatorEntry | undefined {
    for (const entry of this.#entries.values())
      if (entry.kind === 'operator' && entry.serial === serial) return entry;
    return undefined;
  }

  /** Ids of requests that were denied, or ended. */
  get denied(): ReadonlySet<string> {
    return new Set(
      [...this.#entries.values()].flatMap((entry) => (entry.kind === 'denial' ? [entry.request] : [])),
    );
  }

  /** In the order in which they were taken. */
  get authoritySteps(): readonly AuthorityEntry[] {
    return [...this.#entries.values()]
      .filter((entry) => entry.kind === 'authority')
      .sort((a, b) => a.at - b.at || (a.id < b.id ? -1 : 1));
  }

  /**
   * The ban that keeps this bearer out. A lift restores a machine and its key, never a certificate: what was revoked
   * stays revoked (RFC 5280 5.3.1 knows no way back but from `certificateHold`), and the next enrolment brings another.
   */
  banOf({ id, serial, key }: Bearer): Ban | null {
    const standing = (bans: readonly Ban[] | undefined) => bans?.find((ban) => !this.isLifted(ban.id));
    return (
      (id == null ? undefined : standing(this.#nodes.get(id))) ??
      (key === undefined ? undefined : standing(this.#keys.get(key))) ??
      (serial === undefined ? undefined : this.#serials.get(serial)?.[0]) ??
      null
    );
  }

  /** Every certificate that was ever banned, since its first ban. */
  revoked(): Revoked[] {
    return [...this.#serials].map(([serial, bans]) => ({
      serial,
      at: Math.min(...bans.map(({ at }) => at)),
    }));
  }
}

function grow<T>(map: Map<string, T[]>, key: string, value: T): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [value]);
  else list.push(value);
}
