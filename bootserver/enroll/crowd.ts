import { hostOf } from '../../base/host.ts';

/** Where the search for somebody to drop begins: at a random place, so that everybody is equally likely. */
const LOOKS = 8;

type Network = {
  /** In no order; `places` knows the place of each. */
  ids: string[];
  places: Map<string, number>;
  /** By address, each in the order in which they came. */
  addresses: Map<string, Set<string>>;
};

/**
 * Holders of a limited resource, by address and network. When one must go, it belongs to the network that holds most,
 * and there to an address that holds many: its oldest goes. Where each address holds one, a random one goes. So a flood
 * takes from itself: from one address, from all addresses of one network; and a flood from everywhere cannot reliably
 * take the place of a chosen machine. Each step takes the same time, however many there are.
 */
export class Crowd {
  readonly #networks = new Map<string, Network>();
  /** Networks by how many they hold, and the largest such number. */
  readonly #bySize = new Map<number, Set<Network>>();
  #most = 0;
  readonly #addressOf = new Map<string, string>();
  readonly #pick: (below: number) => number;

  /** @param pick returns a random whole number from 0 up to, but not including, its argument */
  constructor(pick: (below: number) => number) {
    this.#pick = pick;
  }

  get size(): number {
    return this.#addressOf.size;
  }

  add(id: string, address: string): void {
    const name = networkOf(address);
    let network = this.#networks.get(name);
    if (network === undefined) {
      network = { ids: [], places: new Map(), addresses: new Map() };
      this.#networks.set(name, network);
    }
    network.places.set(id, network.ids.length);
    network.ids.push(id);
    this.#resized(network, network.ids.length - 1);
    const own = network.addresses.get(address);
    if (own === undefined) network.addresses.set(address, new Set([id]));
    else own.add(id);
    this.#addressOf.set(id, address);
  }

  delete(id: string): void {
    const address = this.#addressOf.get(id);
    if (address === undefined) return;
    this.#addressOf.delete(id);
    const name = networkOf(address);
    const network = this.#networks.get(name)!;
    // The last one moves to its place.
    const place = network.places.get(id)!;
    const last = network.ids.pop()!;
    if (last !== id) {
      network.ids[place] = last;
      network.places.set(last, place);
    }
    network.places.delete(id);
    this.#resized(network, network.ids.length + 1);
    const own = network.addresses.get(address)!;
    own.delete(id);
    if (own.size === 0) network.addresses.delete(address);
    if (network.ids.length === 0) this.#networks.delete(name);
  }

  /** How many an address holds, and its oldest. */
  of(address: string): { count: number; oldest: string | undefined } {
    const own = this.#networks.get(networkOf(address))?.addresses.get(address);
    return { count: own?.size ?? 0, oldest: own?.values().next().value };
  }

  /** The one that must go; undefined: there is none. */
  victim(): string | undefined {
    const most: Network | undefined = this.#bySize.get(this.#most)?.values().next().value;
    if (most === undefined) return undefined;
    let [chosen, held] = ['', 0];
    for (let look = 0; look < LOOKS; look += 1) {
      const address = this.#addressOf.get(most.ids[this.#pick(most.ids.length)]!)!;
      const count = most.addresses.get(address)!.size;
      if (count <= held) continue;
      [chosen, held] = [address, count];
    }
    return this.of(chosen).oldest;
  }

  #resized(network: Network, before: number): void {
    const after = network.ids.length;
    const had = this.#bySize.get(before);
    had?.delete(network);
    if (had?.size === 0) this.#bySize.delete(before);
    if (after > 0) {
      const has = this.#bySize.get(after);
      if (has === undefined) this.#bySize.set(after, new Set([network]));
      else has.add(network);
    }
    // It changes by one at a time.
    if (after > this.#most) this.#most = after;
    else if (before === this.#most && !this.#bySize.has(before)) this.#most = after;
  }
}

/** `/24` of IPv4, `/64` of IPv6: one host on one wire can give itself as many addresses of it as it likes. */
export function networkOf(address: string): string {
  const host = hostOf(address);
  return host.includes(':') ? host : host.split('.').slice(0, 3).join('.');
}
