import type { Ip4 } from '../../formats/dhcp/ip4.ts';
import type { Lease } from './free-addresses.ts';
import { type AddressBook, FreeAddresses, type Pool } from './free-addresses.ts';

export type LeaseChange =
  | { kind: 'offer'; ip: Ip4; key: string; until: number }
  | { kind: 'withdraw'; key: string }
  /** All other kinds are durable: a bound, released or resting lease, as it stands afterwards. */
  | { kind: 'record'; lease: Lease };

/** What decisions may ask. */
export interface LeaseView {
  /**
   * Who holds this address by lease or offer now; '': it was declined and is not offered for a while; undefined: it is
   * free.
   */
  holder(ip: Ip4, now: number): string | undefined;
  /** The last lease of this address, current or past. */
  leaseAt(ip: Ip4): Lease | undefined;
  /** The last lease of this client, current or past. */
  leaseOf(key: string): Lease | undefined;
  /** An address for this client: its own, the one it asks for, a fresh one, or the one unused for longest. */
  choose(key: string, wish: Ip4 | undefined, pools: readonly Pool[], now: number): Ip4 | undefined;
}

/** Every lease and offer of one server. No clock, no file: the time is a parameter, changes come from decisions. */
export class LeaseTable implements LeaseView, AddressBook {
  readonly #byIp = new Map<Ip4, Lease>();
  readonly #ipOf = new Map<string, Ip4>();
  /** Ordered by their ends: all offers last equally long. */
  readonly #offers = new Map<Ip4, { key: string; until: number }>();
  readonly #offerOf = new Map<string, Ip4>();
  /** Lists of the pools that were asked for. */
  readonly #free = new Map<Pool, FreeAddresses>();

  holder(ip: Ip4, now: number): string | undefined {
    const lease = this.#byIp.get(ip);
    if (lease !== undefined && lease.until > now) return lease.key;
    const offer = this.#offers.get(ip);
    return offer !== undefined && offer.until > now ? offer.key : undefined;
  }

  leaseAt(ip: Ip4): Lease | undefined {
    return this.#byIp.get(ip);
  }

  isOffered(ip: Ip4): boolean {
    return this.#offers.has(ip);
  }

  leaseOf(key: string): Lease | undefined {
    const ip = this.#ipOf.get(key);
    return ip === undefined ? undefined : this.#byIp.get(ip);
  }

  choose(key: string, wish: Ip4 | undefined, pools: readonly Pool[], now: number): Ip4 | undefined {
    const free = pools.map((pool) => this.#freeOf(pool));
    const usable = (ip: Ip4 | undefined): ip is Ip4 => {
      if (ip === undefined || !free.some((one) => one.has(ip))) return false;
      const holder = this.holder(ip, now);
      return holder === undefined || holder === key;
    };
    for (const ip of [this.#ipOf.get(key), this.#offerOf.get(key), wish]) if (usable(ip)) return ip;
    this.#expire(now);
    for (const one of free) {
      const ip = one.next(now);
      if (ip !== undefined) return ip;
    }
    return undefined;
  }

  apply(change: LeaseChange): void {
    switch (change.kind) {
      case 'offer':
        this.#withdraw(change.key);
        this.#withdrawAt(change.ip);
        this.#offers.set(change.ip, { key: change.key, until: change.until });
        this.#offerOf.set(change.key, change.ip);
        this.#changed(change.ip);
        return;
      case 'withdraw':
        this.#withdraw(change.key);
        return;
      case 'record':
        this.#record(change.lease);
    }
  }

  /** The configuration has changed: pools that are no longer asked for are forgotten. Leases stay. */
  forgetPools(): void {
    this.#free.clear();
  }

  /** Forgets offers that have expired: a flood of made-up clients must not fill the memory. */
  sweep(now: number): void {
    for (const offer of [...this.#offers.values()]) if (offer.until <= now) this.#withdraw(offer.key);
  }

  /** Everything durable, for compaction. */
  records(): IterableIterator<Lease> {
    return this.#byIp.values();
  }

  get size(): number {
    return this.#byIp.size;
  }

  #freeOf(pool: Pool): FreeAddresses {
    let free = this.#free.get(pool);
    if (free === undefined) {
      free = new FreeAddresses(pool, this, this.#byIp.values());
      this.#free.set(pool, free);
    }
    return free;
  }

  #changed(ip: Ip4): void {
    for (const free of this.#free.values()) free.changed(ip, () => this.#byIp.values());
  }

  /** Offers that have expired, oldest first, up to the first that has not. */
  #expire(now: number): void {
    for (const offer of this.#offers.values()) {
      if (offer.until > now) return;
      this.#withdraw(offer.key);
    }
  }

  #record(lease: Lease): void {
    const before = this.#byIp.get(lease.ip);
    if (before !== undefined && this.#ipOf.get(before.key) === lease.ip) this.#ipOf.delete(before.key);
    // Whoever this address was offered to must be offered another one.
    this.#withdrawAt(lease.ip);
    if (lease.key !== '') {
      // A client has one lease: taking another address releases the former one.
      const former = this.#ipOf.get(lease.key);
      if (former !== undefined && former !== lease.ip) {
        this.#byIp.delete(former);
        this.#changed(former);
      }
      this.#ipOf.set(lease.key, lease.ip);
      this.#withdraw(lease.key);
    }
    this.#byIp.set(lease.ip, lease);
    this.#changed(lease.ip);
  }

  #withdrawAt(ip: Ip4): void {
    const offer = this.#offers.get(ip);
    if (offer !== undefined) this.#withdraw(offer.key);
  }

  #withdraw(key: string): void {
    const ip = this.#offerOf.get(key);
    if (ip === undefined) return;
    this.#offerOf.delete(key);
    if (this.#offers.get(ip)?.key !== key) return;
    this.#offers.delete(ip);
    this.#changed(ip);
  }
}
