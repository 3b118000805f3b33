/**
 * Records that are decisions as a whole, all of one kind: the last word counts, Redis holds the fast copy of it, and whoever owns
 * Redis neither adds one nor takes one away.
 */
import type { Redis } from 'ioredis';
import type { z } from 'zod';
import { refusal } from '../../../base/error.ts';
import type { By } from '../acting.ts';
import { auditLine } from '../audit/audit.ts';
import type { AuditEntry } from '../audit/entry.ts';
import { commit, type Op, type RecordChange } from '../commit.ts';
import { contended, ROUNDS } from '../outcome.ts';
import { leaveOut, readStored } from '../read-stored.ts';
import type { Decisions, Stored } from './decisions.ts';
import type { Decision } from './standing.ts';

export type DecidedKind<T> = {
  /** @returns the key in Redis of the record with this name */
  key(name: string): string;
  /** Key of the set of all names. */
  all: string;
  schema: z.ZodType<T>;
  nameOf(one: T): string;
  stateOf(one: T): string;
  /** Code of the error for one that cannot be read; and what it is called there. */
  unreadable: string;
  shown(name: string): string;
};

/** A next word, and how the history tells of it. */
export type NextWord<T> = { next: T; reason: string } & Pick<AuditEntry, 'action' | 'node' | 'detail'>;

/** What is believed. `found`: what a change of it has to expect in Redis. */
export type Look<T> = { known: T | undefined; found: Stored['found'] };

/** All that is written for one word, or nothing is. */
export type Written = { record: RecordChange; op: Op; audit: AuditEntry; decision: Decision };

type Keeping = { redis: Redis; decisions: Decisions };

/** Of several decisions about one name the one with the highest epoch counts. From 1. */
type Numbered = { epoch: number };

export class DecidedRecords<T extends Numbered> {
  readonly #kind: DecidedKind<T>;

  constructor(kind: DecidedKind<T>) {
    this.#kind = kind;
  }

  /** What was decided; undefined: nothing. @throws BootwaveError of the kind's code */
  async read(fleet: Keeping, name: string): Promise<T | undefined> {
    return (await this.look(fleet, name)).known;
  }

  /** By name, in their order. One that cannot be read is left out, and hides no other. */
  async list(fleet: Keeping): Promise<Map<string, T>> {
    const there = await fleet.redis.smembers(this.#kind.all);
    const names = [...new Set([...there, ...fleet.decisions.names(this.#kind.key)])].sort();
    const found = await Promise.all(names.map((name) => this.read(fleet, name).catch(leaveOut)));
    return new Map(
      found.flatMap((one) => (one === undefined || one === null ? [] : [[this.#kind.nameOf(one), one]])),
    );
  }

  /** @throws BootwaveError of the kind's code */
  async look({ decisions }: Keeping, name: string): Promise<Look<T>> {
    const { body, found } = await decisions.stored(this.#kind.key(name));
    if (body === null) return { known: undefined, found };
    const known = readStored(this.#kind.schema, body);
    if (known !== null && this.#kind.nameOf(known) === name) return { known, found };
    throw refusal(
      this.#kind.unreadable,
      `${this.#kind.shown(name)} cannot be read`,
      'was it written by a newer version of bootwave? Use that one',
    );
  }

  /** For a change that is written with others of its own; `decide` does it by itself. */
  written({ decisions }: Keeping, { found }: Look<T>, word: NextWord<T>, { actor, at }: By): Written {
    const { next, reason, ...told } = word;
    const name = this.#kind.nameOf(next);
    const record: RecordChange = {
      ...{ key: this.#kind.key(name), expect: found },
      next: { state: this.#kind.stateOf(next), epoch: next.epoch, body: JSON.stringify(next) },
    };
    return {
      record,
      op: { op: 'join', key: this.#kind.all, value: name },
      audit: { actor, at, ...told, reason: reason.slice(0, 1000) },
      decision: decisions.record(record, { actor, at }, reason),
    };
  }

  /**
   * @param change of what is known; null: it stays as it is. The epoch is of the log and not of Redis: a forged number there must
   * not use up all that are left
   * @param beside what is written with it, or nothing is
   * @returns null for `after` when it stayed as it is
   * @throws BootwaveError of the kind's code, `FLEET_CONTENDED`, and what `change` throws
   */
  async decide(
    fleet: Keeping,
    name: string,
    by: By,
    change: (known: T | undefined, epoch: number) => NextWord<T> | null,
    beside: { records?: readonly RecordChange[]; rounds?: number } = {},
  ): Promise<{ before: T | undefined; after: T | null }> {
    const { records = [], rounds = ROUNDS } = beside;
    for (let round = 0; round < rounds; round += 1) {
      const look = await this.look(fleet, name);
      const { known } = look;
      const word = change(known, (known?.epoch ?? 0) + 1);
      if (word === null) return { before: known, after: null };
      const { record, op, audit, decision } = this.written(fleet, look, word, by);
      const whole = { records: [record, ...records], ops: [op], audit: [auditLine(audit)] };
      const done = await fleet.decisions.commit(whole, [decision]);
      if (done.result === 'done') return { before: known, after: word.next };
    }
    throw contended(this.#kind.shown(name), rounds);
  }

  /**
   * Writes the fast copy again where it is not what was decided.
   * @returns names of those whose copy was wrong
   */
  async repair({ redis, decisions }: Keeping): Promise<string[]> {
    const repaired: string[] = [];
    for (const name of decisions.names(this.#kind.key)) {
      const key = this.#kind.key(name);
      // Whatever kind of value somebody has put there.
      const copy = (await redis.type(key)) === 'hash' ? await redis.hgetall(key) : {};
      const body = await decisions.body(key, copy.body ?? null);
      const known = body === null ? null : readStored(this.#kind.schema, body);
      if (body === null || known === null) continue;
      const { epoch } = known;
      const state = this.#kind.stateOf(known);
      const isSame = copy.body === body && copy.state === state && copy.epoch === String(epoch);
      if (isSame && (await redis.sismember(this.#kind.all, name)) === 1) continue;
      await redis.unlink(key);
      const done = await commit(redis, {
        records: [{ key, expect: null, next: { state, epoch, body } }],
        ops: [{ op: 'join', key: this.#kind.all, value: name }],
      });
      if (done.result === 'done') repaired.push(name);
    }
    return repaired;
  }
}
