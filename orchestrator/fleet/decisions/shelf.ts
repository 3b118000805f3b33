/**
 * Small documents that people decide, a shelf for each kind: each change is a decision, and Redis holds the fast copy. Whoever
 * owns Redis neither adds one nor takes one away.
 */
import { z } from 'zod';
import { BootwaveError } from '../../../base/error.ts';
import type { By } from '../acting.ts';
import { auditLine } from '../audit/audit.ts';
import type { RecordChange } from '../commit.ts';
import type { Fleet } from '../fleet.ts';
import { at } from '../keys.ts';
import { contended, ROUNDS } from '../outcome.ts';
import { leaveOut, readStored } from '../read-stored.ts';
import type { Stored } from './decisions.ts';

/** A document as it stands; `value` null: it was taken away. */
export type Shelved<V> = {
  name: string;
  /** Of several decisions about one document the one with the highest epoch counts. From 1. */
  epoch: number;
  by: string;
  /** Milliseconds since the epoch. */
  at: number;
  reason: string;
  value: V | null;
};

export class Shelf<V> {
  readonly #kind: string;
  readonly #schema: z.ZodType<Shelved<V>>;

  /** @param kind one word: part of the keys in Redis, and the action in the history */
  constructor(kind: string, value: z.ZodType<V>) {
    this.#kind = kind;
    const common = { name: z.string(), epoch: z.int().min(1), by: z.string(), at: z.number() };
    this.#schema = z.object({ ...common, reason: z.string(), value: value.nullable() }) as z.ZodType<
      Shelved<V>
    >;
  }

  readonly #key = (name: string): string => at('shelf', this.#kind, name);
  get #all(): string {
    return at('shelves', this.#kind);
  }

  /** Undefined: nobody decided any, or it was taken away. @throws BootwaveError `DOCUMENT_UNREADABLE` */
  async get(fleet: Fleet, name: string): Promise<(Shelved<V> & { value: V }) | undefined> {
    const { known } = await this.#look(fleet, name);
    return known === undefined ? undefined : present(known);
  }

  /** By name. One that cannot be read is left out, and hides no other. */
  async list(fleet: Fleet): Promise<(Shelved<V> & { value: V })[]> {
    const there = await fleet.redis.smembers(this.#all);
    const names = [...new Set([...there, ...fleet.decisions.names(this.#key)])].sort();
    const found = await Promise.all(names.map((name) => this.#look(fleet, name).catch(leaveOut)));
    return found.flatMap((one) => (one?.known === undefined ? [] : (present(one.known) ?? [])));
  }

  /**
   * @param next what it becomes from what it is now, null: it is taken away; `same`: nothing changes
   * @throws BootwaveError `DOCUMENT_UNREADABLE`, `FLEET_CONTENDED`, and what `next` throws
   */
  async decide(
    fleet: Fleet,
    name: string,
    next: (known: Shelved<V> | undefined) => V | null | 'same',
    { actor, at: when, reason }: By & { reason: string },
  ): Promise<{ document: Shelved<V> | undefined; changed: boolean }> {
    for (let round = 0; round < ROUNDS; round += 1) {
      const { known, found } = await this.#look(fleet, name);
      const value = next(known);
      if (value === 'same' || (value === null && (known?.value ?? null) === null))
        return { document: known, changed: false };
      // Not of Redis: a forged number there must not use up all that are left.
      const epoch = (known?.epoch ?? 0) + 1;
      const document: Shelved<V> = { name, epoch, by: actor, at: when, reason, value };
      const record: RecordChange = {
        ...{ key: this.#key(name), expect: found },
        next: { state: value === null ? 'removed' : 'known', epoch, body: JSON.stringify(document) },
      };
      const said = `${this.#kind} ${name}${value === null ? ' removed' : ''}: ${reason}`;
      const done = await fleet.decisions.commit(
        {
          records: [record],
          ops: [{ op: 'join', key: this.#all, value: name }],
          audit: [auditLine({ actor, at: when, action: this.#kind, reason: said })],
        },
        [fleet.decisions.record(record, { actor, at: when }, said)],
      );
      if (done.result === 'done') return { document, changed: true };
    }
    throw contended(`${this.#kind} ${name}`, ROUNDS);
  }

  async #look(
    { decisions }: Fleet,
    name: string,
  ): Promise<{ known: Shelved<V> | undefined; found: Stored['found'] }> {
    const { body, found } = await decisions.stored(this.#key(name));
    if (body === null) return { known: undefined, found };
    const known = readStored(this.#schema, body);
    if (known?.name === name) return { known, found };
    throw new BootwaveError({
      code: 'DOCUMENT_UNREADABLE',
      what: `${this.#kind} ${name} cannot be read`,
      unchanged: 'nothing was changed',
      next: 'was it written by a newer version of bootwave? Use that one',
    });
  }
}

function present<V>(document: Shelved<V>): (Shelved<V> & { value: V }) | undefined {
  const { value } = document;
  return value === null ? undefined : { ...document, value };
}
