import type { Bearer } from '../../../bootserver/enroll/bans.ts';
import type { Ban, Entry, Lift } from './entry.ts';

/**
 * People who must have lifted a ban before it is lifted, each by an entry of their own. The place where two people
 * become the rule.
 */
export const PEOPLE_TO_LIFT = 1;

/** A certificate that is revoked. `at` in milliseconds since the epoch. */
export type Revoked = { serial: string; at: number };

/** All entries that are known, in memory. Entries are only ever added, in any order and any number of times. */
export class BanSet {
  readonly #entries = new Map<string, Entry>();
  readonly #lifts = new Map<string, Lift[]>();
  readonly #nodes = new Map<string, Ban[]>();
  readonly #keys = new Map<string, Ban[]>();
  readonly #serials = new Map<string, Ban[]>();

  /** How much is known: of two copies of one log the longer one has the higher revision. */
  get revision(): number {
    return this.#entries.size;
  }

  get entries(): readonly Entry[] {
    return [...this.#entries.values()];
  }

  get bans(): readonly Ban[] {
    return this.entries.filter((entry) => entry.kind === 'ban');
  }

  has(id: string): boolean {
    return this.#entries.has(id);
  }

  /** @returns false when it was known */
  add(entry: Entry): boolean {
    if (this.#entries.has(entry.id)) return false;
    this.#entries.set(entry.id, entry);
    if (entry.kind === 'lift') {
      grow(this.#lifts, entry.ban, entry);
      return true;
    }
    for (const id of entry.nodes) grow(this.#nodes, id, entry);
    for (const key of entry.keys) grow(this.#keys, key, entry);
    for (const serial of entry.serials) grow(this.#serials, serial, entry);
    return true;
  }

  liftsOf(ban: string): readonly Lift[] {
    return this.#lifts.get(ban) ?? [];
  }

  isLifted(ban: string): boolean {
    return new Set(this.liftsOf(ban).map(({ actor }) => actor)).size >= PEOPLE_TO_LIFT;
  }

  /**
   * The ban that keeps this bearer out. A lift gives a machine and its key back, never a certificate: what was revoked
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
