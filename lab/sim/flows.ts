/** What a simulated node says that its services have sent: each a little to a neighbour of its own, all the time. Pure. */
import type { Flows, FlowsArgs } from '../../protocol/link/flows.ts';

/** Milliseconds since the node's boot. */
type Boot = { bootId: string; at: number };

/** Packets a second, and bytes of each. */
const RATE = { packets: 2, bytes: 200 } as const;

export class SimFlows {
  #told: Flows | null = null;
  #until = 0;

  answer(
    number: number,
    { bootId, at }: Boot,
    services: readonly { name: string; version: string; state: string }[],
    { kept }: FlowsArgs,
  ): Flows {
    const now = Math.floor(at);
    if (this.#told?.life !== bootId) this.#until = 0;
    const last = this.#told?.life === bootId ? this.#told : null;
    if (last !== null && (kept?.life !== bootId || kept.number < last.number)) return { ...last, at: now };
    const running = services.filter(({ state }) => state === 'running');
    const from = this.#until;
    const packets = Math.floor(((now - from) / 1000) * RATE.packets);
    this.#told = {
      ...{ life: bootId, number: (last?.number ?? 0) + 1, from, until: now, at: now, more: false },
      instances: running.map(({ name, version }) => ({ name, version })),
      flows: running.map((_, of) => ({
        ...{ of, way: 'sent' as const, to: `192.0.2.${1 + ((number + of) % 250)}`, protocol: 'tcp' as const },
        ...{ port: 443, packets, bytes: packets * RATE.bytes, from, until: now },
      })),
    };
    this.#until = now;
    return this.#told;
  }
}
