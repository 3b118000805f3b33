/**
 * Who has which transfers, and who makes room for whom. Nobody is kept out by one who only waits: a transfer whose
 * client says nothing gives way to a client that asks. Only when all are busy is there no room.
 */
import type { TftpLimits } from './options.ts';
import type { Peer } from './session.ts';

/** What is known of a transfer that runs; absent while its file and socket are being opened. */
export type Progress = {
  /** Whether the client has acknowledged anything. */
  readonly heard: boolean;
  /** Milliseconds since the epoch of its last progress. */
  readonly progressAt: number;
};

/** A transfer from its request to its end. */
export type Slot<S extends Progress = Progress> = {
  readonly client: Peer;
  /** What was asked, as text; equal for a repeated request. */
  readonly request: string;
  /** Milliseconds since the epoch. */
  readonly since: number;
  session?: S | undefined;
};

export type Admission<S extends Progress> =
  /** `victims` end first. */
  | { kind: 'admitted'; slot: Slot<S>; victims: readonly Slot<S>[] }
  /** The same request is being answered already. */
  | { kind: 'repeated' }
  | { kind: 'full' };

type Limits = Pick<TftpLimits, 'transfers' | 'transfersOfOne' | 'unheardOfOne' | 'idle'>;

export class Slots<S extends Progress = Progress> {
  readonly #limits: Limits;
  /** By client address; in each the oldest comes first. */
  readonly #held = new Map<string, Set<Slot<S>>>();
  #size = 0;

  constructor(limits: Limits) {
    this.#limits = limits;
  }

  get size(): number {
    return this.#size;
  }

  /** @param now milliseconds since the epoch */
  admit(client: Peer, request: string, now: number): Admission<S> {
    const mine = [...(this.#held.get(client.address) ?? [])];
    const repeated = mine.some(
      (slot) => slot.client.port === client.port && slot.request === request && !heard(slot),
    );
    if (repeated) return { kind: 'repeated' };
    const victims: Slot<S>[] = [];
    const unheard = mine.filter((slot) => !heard(slot));
    if (unheard.length >= this.#limits.unheardOfOne) victims.push(unheard[0] as Slot<S>);
    else if (mine.length >= this.#limits.transfersOfOne) {
      const victim = this.#idlest(mine, now);
      if (victim === undefined) return { kind: 'full' };
      victims.push(victim);
    }
    if (this.#size - victims.length >= this.#limits.transfers) {
      const victim = this.#idlest(this.all(), now);
      if (victim === undefined) return { kind: 'full' };
      victims.push(victim);
    }
    for (const victim of victims) this.free(victim);
    const slot: Slot<S> = { client, request, since: now };
    const held = this.#held.get(client.address);
    if (held === undefined) this.#held.set(client.address, new Set([slot]));
    else held.add(slot);
    this.#size += 1;
    return { kind: 'admitted', slot, victims };
  }

  holds(slot: Slot<S>): boolean {
    return this.#held.get(slot.client.address)?.has(slot) === true;
  }

  /** Idempotent. */
  free(slot: Slot<S>): void {
    const held = this.#held.get(slot.client.address);
    if (held?.delete(slot) !== true) return;
    this.#size -= 1;
    if (held.size === 0) this.#held.delete(slot.client.address);
  }

  *all(): Iterable<Slot<S>> {
    for (const held of this.#held.values()) yield* held;
  }

  /** The oldest that nobody answered, else the one without progress for longest; busy ones are never taken. */
  #idlest(slots: Iterable<Slot<S>>, now: number): Slot<S> | undefined {
    let found: Slot<S> | undefined;
    for (const slot of slots) {
      if (heard(slot) && now - quietSince(slot) < this.#limits.idle) continue;
      if (found === undefined || before(slot, found)) found = slot;
    }
    return found;
  }
}

function heard(slot: Slot): boolean {
  return slot.session?.heard === true;
}

function quietSince(slot: Slot): number {
  return slot.session?.progressAt ?? slot.since;
}

function before(a: Slot, b: Slot): boolean {
  if (heard(a) !== heard(b)) return !heard(a);
  return quietSince(a) < quietSince(b);
}
