/**
 * What services have sent and no server has kept yet. Bounded: what is too much of one service is counted by the first byte
 * of its destination, as the kernel does when its own sets are full. Without a clock: times are milliseconds since the boot.
 */
import { FLOW_LIFE } from '../../../../protocol/agent/flows.ts';
import { FLOWS_IN_ANSWER, type Flow, type Flows, type FlowsArgs } from '../../../../protocol/link/flows.ts';
import { ORDER_LIMITS } from '../../../../protocol/order.ts';
import type { Counted } from './kernel-text.ts';

const LIFE = FLOW_LIFE * 1000;
/** Flows of one service that wait at once, beside those by their first byte. */
const MOST_WAITING = 2048;

type Sum = Omit<Flow, 'of'> & { name: string; version: string | null };

const keyOf = ({
  name,
  way,
  to,
  protocol,
  port,
}: Pick<Counted, 'name' | 'way' | 'to' | 'protocol' | 'port'>) => `${name} ${way} ${to} ${protocol} ${port}`;

export class FlowBook {
  readonly #life: string;
  /** As the kernel had counted at the last look. */
  #counted = new Map<string, Counted>();
  #lookedAt: number | null = null;
  /** Nothing after it is missing in what is told or waits. */
  #whole: { from: number; until: number } | null = null;
  readonly #waiting = new Map<string, Sum>();
  /** By service. */
  readonly #exact = new Map<string, number>();
  #number = 0;
  #told: Omit<Flows, 'at' | 'more'> | null = null;

  /** @param life another one for each process */
  constructor(life: string) {
    this.#life = life;
  }

  /** @param versions that run now, by name of service */
  look(all: readonly Counted[], at: number, versions: ReadonlyMap<string, string | null>): void {
    const counted = new Map<string, Counted>();
    for (const one of all) {
      const key = keyOf(one);
      const before = this.#counted.get(key);
      counted.set(key, one);
      const isSame = before !== undefined && one.packets >= before.packets && one.bytes >= before.bytes;
      const packets = one.packets - (isSame ? before.packets : 0);
      const bytes = one.bytes - (isSame ? before.bytes : 0);
      if (packets === 0) continue;
      // What an agent before this one has told is told again: nobody knows since when it is counted.
      const from = this.#lookedAt ?? 0;
      // nft rounds down how long it still lives.
      const until = Math.max(from, at - Math.max(0, one.idle - 1) * 1000);
      const { idle: _, ...flow } = one;
      this.#add({ ...flow, version: versions.get(one.name) ?? null, packets, bytes, from, until });
    }
    this.#counted = counted;
    const since =
      this.#whole !== null && at - this.#whole.until < LIFE ? this.#whole.from : Math.max(0, at - LIFE);
    this.#whole = { from: since, until: at };
    this.#lookedAt = at;
  }

  /** @returns the same one until it is kept */
  answer({ kept }: FlowsArgs, at: number): Flows {
    if (kept?.life === this.#life && kept.number >= this.#number) this.#told = null;
    this.#told ??= this.#next();
    const more = this.#waiting.size > 0;
    return { ...this.#told, at: Math.max(at, this.#told.until), more };
  }

  #add(sum: Sum): void {
    const { name, version, way } = sum;
    const key = `${keyOf(sum)} ${version}`;
    const waits = this.#waiting.get(key);
    if (waits !== undefined) {
      waits.packets += sum.packets;
      waits.bytes += sum.bytes;
      waits.until = Math.max(waits.until, sum.until);
      return;
    }
    const exact = this.#exact.get(name) ?? 0;
    if (way !== 'wide' && exact >= MOST_WAITING) {
      this.#add({ ...sum, way: 'wide', to: firstByte(sum.to), protocol: null, port: null });
      return;
    }
    if (way !== 'wide') this.#exact.set(name, exact + 1);
    this.#waiting.set(key, { ...sum });
  }

  #next(): Omit<Flows, 'at' | 'more'> {
    const instances: Flows['instances'] = [];
    const places = new Map<string, number>();
    const flows: Flow[] = [];
    for (const [key, { name, version, ...sum }] of this.#waiting) {
      const instance = `${name} ${version}`;
      const of = places.get(instance) ?? instances.length;
      if (of >= ORDER_LIMITS.services || flows.length >= FLOWS_IN_ANSWER) break;
      if (of === instances.length) instances.push({ name, version });
      places.set(instance, of);
      flows.push({ of, ...sum });
      this.#waiting.delete(key);
      if (sum.way !== 'wide') this.#exact.set(name, this.#exact.get(name)! - 1);
    }
    const { from, until } = this.#whole ?? { from: 0, until: 0 };
    const end = this.#waiting.size > 0 ? from : until;
    if (this.#whole !== null) this.#whole = { from: end, until };
    this.#number += 1;
    return { life: this.#life, number: this.#number, from, until: end, instances, flows };
  }
}

/** A network of 2^24 addresses, by its first one. */
const firstByte = (address: string): string => `${address.split('.')[0]}.0.0.0`;
