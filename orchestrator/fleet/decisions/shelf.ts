/**
 * Small documents that people decide, a shelf for each kind, and take away again: each change is a decision
 * (`records.ts`).
 */
import { z } from 'zod';
import type { By } from '../acting.ts';
import type { Fleet } from '../fleet.ts';
import { at } from '../keys.ts';
import { DecidedRecords } from './records.ts';

/** A document as it stands; `value` null: it was taken away. */
export type Shelved<V> = {
  name: string;
  epoch: number;
  by: string;
  /** Milliseconds since the epoch. */
  at: number;
  reason: string;
  value: V | null;
};

export class Shelf<V> {
  readonly #kind: string;
  readonly #records: DecidedRecords<Shelved<V>>;

  /** @param kind one word: part of the keys in Redis, and the action in the history */
  constructor(kind: string, value: z.ZodType<V>) {
    this.#kind = kind;
    const common = { name: z.string(), epoch: z.int().min(1), by: z.string(), at: z.number() };
    const schema = z.object({ ...common, reason: z.string(), value: value.nullable() });
    this.#records = new DecidedRecords({
      ...{ key: (name) => at('shelf', kind, name), all: at('shelves', kind) },
      schema: schema as z.ZodType<Shelved<V>>,
      nameOf: ({ name }) => name,
      stateOf: (document) => (document.value === null ? 'removed' : 'known'),
      unreadable: 'DOCUMENT_UNREADABLE',
      shown: (name) => `${kind} ${name}`,
    });
  }

  /** Undefined: nobody decided any, or it was taken away. @throws BootwaveError `DOCUMENT_UNREADABLE` */
  async get(fleet: Fleet, name: string): Promise<(Shelved<V> & { value: V }) | undefined> {
    return present(await this.#records.read(fleet, name))[0];
  }

  /** By name. One that cannot be read is left out, and hides no other. */
  async list(fleet: Fleet): Promise<(Shelved<V> & { value: V })[]> {
    return [...(await this.#records.list(fleet)).values()].flatMap(present);
  }

  /**
   * @param next what it becomes from what it is now, null: it is taken away; `same`: nothing changes
   * @throws BootwaveError `DOCUMENT_UNREADABLE`, `FLEET_CONTENDED`, and what `next` throws
   */
  async decide(
    fleet: Fleet,
    name: string,
    next: (known: Shelved<V> | undefined) => V | null | 'same',
    by: By & { reason: string },
  ): Promise<{ document: Shelved<V> | undefined; changed: boolean }> {
    const { actor, at: when, reason } = by;
    const { before, after } = await this.#records.decide(fleet, name, by, (known, epoch) => {
      const value = next(known);
      if (value === 'same' || (value === null && (known?.value ?? null) === null)) return null;
      return {
        ...{ next: { name, epoch, by: actor, at: when, reason, value }, action: this.#kind },
        reason: `${this.#kind} ${name}${value === null ? ' removed' : ''}: ${reason}`,
      };
    });
    return { document: after ?? before, changed: after !== null };
  }
}

const present = <V>(document: Shelved<V> | undefined): (Shelved<V> & { value: V })[] =>
  document === undefined || document.value === null ? [] : [{ ...document, value: document.value }];
