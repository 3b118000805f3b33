import type { Ip4 } from '../../formats/dhcp/ip4.ts';

/** A range that addresses are given out of, both ends included. */
export type Pool = {
  from: Ip4;
  to: Ip4;
  /** Never given out: ours, the routers', and what is reserved. */
  taken: ReadonlySet<Ip4>;
};

/** Whether it may be given out of this range, held by somebody or not. */
export const inPool = ({ from, to, taken }: Pool, ip: Ip4): boolean =>
  ip >= from && ip <= to && !taken.has(ip);

/** What a pool needs to know of an address. */
export interface AddressBook {
  leaseAt(ip: Ip4): Lease | undefined;
  isOffered(ip: Ip4): boolean;
}

/** Entries for ended leases that may be out of date, beside the current ones, before the list is rebuilt. */
const SLACK = 1024;

/**
 * Finds a free address of one pool without looking at all of them: what was never used, then what was offered and not
 * taken, then what has been unused for longest. Each step costs the same however many clients there are, except for the
 * logarithm of the ended leases.
 */
export class FreeAddresses {
  readonly #pool: Pool;
  readonly #book: AddressBook;
  /** Everything before it was used or skipped. */
  #fresh: Ip4;
  /** Has no lease and no offer now, but was used before. */
  readonly #idle = new Set<Ip4>();
  #ends = new Ends();
  /** Addresses of this pool with a lease, current or past: `#ends` must not be much longer than this. */
  #leased = 0;

  constructor(pool: Pool, book: AddressBook, leases: Iterable<Lease>) {
    this.#pool = pool;
    this.#book = book;
    this.#fresh = pool.from;
    this.#collect(leases);
  }

  has(ip: Ip4): boolean {
    return inPool(this.#pool, ip);
  }

  /** The lease or offer of an address has changed. @param leases all leases, for when the list is rebuilt */
  changed(ip: Ip4, leases: () => Iterable<Lease>): void {
    if (!this.has(ip)) return;
    const lease = this.#book.leaseAt(ip);
    if (lease === undefined && !this.#book.isOffered(ip)) this.#idle.add(ip);
    else this.#idle.delete(ip);
    if (lease === undefined) return;
    this.#ends.add(lease.until, ip);
    if (this.#ends.size > 2 * this.#leased + SLACK) this.#collect(leases());
  }

  /** The next free one; the same one is found until its lease or offer changes. */
  next(now: number): Ip4 | undefined {
    const { to, taken } = this.#pool;
    while (this.#fresh <= to && (taken.has(this.#fresh) || this.#inUse(this.#fresh))) this.#fresh += 1;
    if (this.#fresh <= to) return this.#fresh;
    const [idle] = this.#idle;
    if (idle !== undefined) return idle;
    for (let end = this.#ends.first; end !== undefined && end.until <= now; end = this.#ends.first) {
      // It was renewed, moved or released since; or it was offered, and returns when the offer ends.
      const current = this.#book.leaseAt(end.ip)?.until === end.until && !this.#book.isOffered(end.ip);
      if (current) return end.ip;
      this.#ends.drop();
    }
    return undefined;
  }

  #inUse(ip: Ip4): boolean {
    return this.#book.leaseAt(ip) !== undefined || this.#book.isOffered(ip);
  }

  #collect(leases: Iterable<Lease>): void {
    this.#ends = new Ends();
    this.#leased = 0;
    for (const { ip, until } of leases) {
      if (!this.has(ip)) continue;
      this.#ends.add(until, ip);
      this.#leased += 1;
    }
  }
}

type End = { until: number; ip: Ip4 };

/** Binary heap, the earliest end first. */
class Ends {
  readonly #heap: End[] = [];

  get size(): number {
    return this.#heap.length;
  }

  get first(): End | undefined {
    return this.#heap[0];
  }

  add(until: number, ip: Ip4): void {
    const heap = this.#heap;
    let at = heap.length;
    const end = { until, ip };
    for (heap.push(end); at > 0; ) {
      const parent = (at - 1) >> 1;
      if (heap[parent]!.until <= until) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = end;
  }

  drop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let at = 0;
    for (let child = 1; child < heap.length; child = 2 * at + 1) {
      if (child + 1 < heap.length && heap[child + 1]!.until < heap[child]!.until) child += 1;
      if (heap[child]!.until >= last.until) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
  }
}

/** One address's durable history. Times are milliseconds since the epoch. */
export type Lease = {
  ip: Ip4;
  /** The client, see `leaseKey`; empty for a declined address that is not offered for a while. */
  key: string;
  /** Name of the machine, for people; empty when it has none. */
  mac: string;
  /** Bound (or resting after a conflict) until then; in the past: free, but kept for the client if it returns. */
  until: number;
};
