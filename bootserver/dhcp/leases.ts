import type { Ip4 } from '../../formats/dhcp/ip4.ts';

/** One address's durable history. Times are milliseconds since the epoch. */
export type Lease = {
  ip: Ip4;
  /** Who it is, see `leaseKey`; empty on a declined address. */
  key: string;
  /** Of the machine, for people; empty when it has none. */
  mac: string;
  /** Bound (or resting after a decline) until then; in the past: free, but kept for the client if it returns. */
  until: number;
};

export type LeaseChange =
  | { kind: 'offer'; ip: Ip4; key: string; until: number }
  | { kind: 'withdraw'; key: string }
  /** All other kinds are durable: a bound, released or declined lease, as it stands afterwards. */
  | { kind: 'record'; lease: Lease };

/** What decisions may ask. */
export interface LeaseView {
  /** Who holds this address by lease or offer now; '' is a declined address; undefined: it is free. */
  holder(ip: Ip4, now: number): string | undefined;
  /** The last lease of this client, current or past. */
  leaseOf(key: string): Lease | undefined;
  /** An address for this client: its own, the one it wishes for, a fresh one, the one unused for longest. */
  choose(key: string, wish: Ip4 | undefined, pool: Pool, now: number): Ip4 | undefined;
}

export type Pool = { from: Ip4; to: Ip4; taken: ReadonlySet<Ip4> };

/** Every lease and offer of one server. No clock, no file: time comes in, changes come out of decisions. */
export class LeaseTable implements LeaseView {
  readonly #byIp = new Map<Ip4, Lease>();
  readonly #ipOf = new Map<string, Ip4>();
  readonly #offers = new Map<Ip4, { key: string; until: number }>();
  readonly #offerOf = new Map<string, Ip4>();
  /** First address of a range that may never have been used, by the range's start. */
  readonly #fresh = new Map<Ip4, Ip4>();

  holder(ip: Ip4, now: number): string | undefined {
    const lease = this.#byIp.get(ip);
    if (lease !== undefined && lease.until > now) return lease.key;
    const offer = this.#offers.get(ip);
    return offer !== undefined && offer.until > now ? offer.key : undefined;
  }

  leaseOf(key: string): Lease | undefined {
    const ip = this.#ipOf.get(key);
    return ip === undefined ? undefined : this.#byIp.get(ip);
  }

  choose(key: string, wish: Ip4 | undefined, pool: Pool, now: number): Ip4 | undefined {
    const usable = (ip: Ip4 | undefined): ip is Ip4 => {
      if (ip === undefined || ip < pool.from || ip > pool.to || pool.taken.has(ip)) return false;
      const holder = this.holder(ip, now);
      return holder === undefined || holder === key;
    };
    for (const ip of [this.#ipOf.get(key), this.#offerOf.get(key), wish]) if (usable(ip)) return ip;

    let fresh = this.#fresh.get(pool.from) ?? pool.from;
    while (fresh <= pool.to && (this.#byIp.has(fresh) || pool.taken.has(fresh))) fresh += 1;
    this.#fresh.set(pool.from, fresh);
    for (let ip = fresh; ip <= pool.to; ip++) if (!this.#byIp.has(ip) && usable(ip)) return ip;

    let oldest: Ip4 | undefined;
    let oldestEnd = Number.POSITIVE_INFINITY;
    for (let ip = pool.from; ip <= pool.to; ip++) {
      const end = this.#byIp.get(ip)?.until ?? 0;
      if (end < oldestEnd && usable(ip)) {
        oldest = ip;
        oldestEnd = end;
      }
    }
    return oldest;
  }

  apply(change: LeaseChange): void {
    switch (change.kind) {
      case 'offer':
        this.#withdraw(change.key);
        this.#offers.set(change.ip, { key: change.key, until: change.until });
        this.#offerOf.set(change.key, change.ip);
        return;
      case 'withdraw':
        this.#withdraw(change.key);
        return;
      case 'record':
        this.#record(change.lease);
    }
  }

  /** Forgets offers that have run out: a flood of made-up clients must not fill the memory. */
  sweep(now: number): void {
    for (const offer of this.#offers.values()) if (offer.until <= now) this.#withdraw(offer.key);
  }

  /** Everything durable, for compaction. */
  records(): IterableIterator<Lease> {
    return this.#byIp.values();
  }

  get size(): number {
    return this.#byIp.size;
  }

  #record(lease: Lease): void {
    const before = this.#byIp.get(lease.ip);
    if (before !== undefined && this.#ipOf.get(before.key) === lease.ip) this.#ipOf.delete(before.key);
    if (lease.key !== '') {
      // A client has one lease: taking another address gives the former one back.
      const former = this.#ipOf.get(lease.key);
      if (former !== undefined && former !== lease.ip) this.#byIp.delete(former);
      this.#ipOf.set(lease.key, lease.ip);
      this.#withdraw(lease.key);
    }
    this.#byIp.set(lease.ip, lease);
  }

  #withdraw(key: string): void {
    const ip = this.#offerOf.get(key);
    if (ip === undefined) return;
    this.#offerOf.delete(key);
    if (this.#offers.get(ip)?.key === key) this.#offers.delete(ip);
  }
}
