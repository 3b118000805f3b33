/**
 * Records that are decisions as a whole, all of one kind: the last word counts, Redis holds the fast copy of it, and whoever owns
 * Redis decides nothing.
 */
import type { z } from 'zod';
import { BootwaveError } from '../../base/error.ts';
import type { By } from './acting.ts';
import { auditLine } from './audit/audit.ts';
import { commit, type Op, type RecordChange } from './commit.ts';
import type { Stored } from './decisions/decisions.ts';
import type { Fleet } from './fleet.ts';
import { contended, ROUNDS } from './outcome.ts';
import { leaveOut, readStored } from './read-stored.ts';

export type DecidedKind<T> = {
  /** @returns the key in Redis of the record with this name */
  key(name: string): string;
  /** Key of the set of all names. */
  all: string;
  schema: z.ZodType<T>;
  nameOf(one: T): string;
  /** Of the error for one that cannot be read; and what it is called there. */
  unreadable: string;
  shown(name: string): string;
};

/** A next word, and how the history tells of it. */
export type NextWord<T> = { next: T; action: string; reason: string; detail: Record<string, string> };

type Body = { state: string; epoch: number };

export class DecidedRecords<T extends Body> {
  readonly #fleet: Fleet;
  readonly #kind: DecidedKind<T>;

  constructor(fleet: Fleet, kind: DecidedKind<T>) {
    this.#fleet = fleet;
    this.#kind = kind;
  }

  /** What was decided; undefined: nothing. @throws BootwaveError of the kind's code */
  async read(name: string): Promise<T | undefined> {
    return (await this.#look(name)).known;
  }

  /** By name, in their order. One that cannot be read is left out, and hides no other. */
  async list(): Promise<Map<string, T>> {
    const { redis, decisions } = this.#fleet;
    const there = await redis.smembers(this.#kind.all);
    const names = [...new Set([...there, ...decisions.names(this.#kind.key)])].sort();
    const found = await Promise.all(names.map((name) => this.#look(name).catch(leaveOut)));
    return new Map(
      found.flatMap((one) => (one?.known === undefined ? [] : [[this.#kind.nameOf(one.known), one.known]])),
    );
  }

  /**
   * @param change of what is known; null: it stays as it is. The epoch is of the log and not of Redis: a forged number there must
   * not use up all that are left
   * @param beside what is written with it, or nothing is
   * @returns null for `after` when it stayed as it is
   * @throws BootwaveError of the kind's code, `FLEET_CONTENDED`
   */
  async decide(
    name: string,
    by: By,
    change: (known: T | undefined, epoch: number) => NextWord<T> | null,
    beside: { records?: readonly RecordChange[]; ops?: readonly Op[]; rounds?: number } = {},
  ): Promise<{ before: T | undefined; after: T | null }> {
    const { records = [], ops = [], rounds = ROUNDS } = beside;
    const { decisions } = this.#fleet;
    for (let round = 0; round < rounds; round += 1) {
      const { known, found } = await this.#look(name);
      const epoch = (known?.epoch ?? 0) + 1;
      const word = change(known, epoch);
      if (word === null) return { before: known, after: null };
      const { next, action, reason, detail } = word;
      const record: RecordChange = {
        ...{ key: this.#kind.key(name), expect: found },
        next: { state: next.state, epoch, body: JSON.stringify(next) },
      };
      const done = await decisions.commit(
        {
          records: [record, ...records],
          ops: [{ op: 'join', key: this.#kind.all, value: name }, ...ops],
          audit: [auditLine({ actor: by.actor, at: by.at, action, reason, detail })],
        },
        [decisions.record(record, by, reason)],
      );
      if (done.result === 'done') return { before: known, after: next };
    }
    throw contended(this.#kind.shown(name), rounds);
  }

  /**
   * Writes the fast copy again where it is not what was decided.
   * @returns names of those whose copy was wrong
   */
  async repair(): Promise<string[]> {
    const { redis, decisions } = this.#fleet;
    const repaired: string[] = [];
    for (const name of decisions.names(this.#kind.key)) {
      const key = this.#kind.key(name);
      // Whatever kind of value somebody has put there.
      const copy = (await redis.type(key)) === 'hash' ? await redis.hgetall(key) : {};
      const body = await decisions.body(key, copy.body ?? null);
      const known = body === null ? null : readStored(this.#kind.schema, body);
      if (body === null || known === null) continue;
      const { state, epoch } = known;
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

  async #look(name: string): Promise<{ known: T | undefined; found: Stored['found'] }> {
    const { body, found } = await this.#fleet.decisions.stored(this.#kind.key(name));
    if (body === null) return { known: undefined, found };
    const known = readStored(this.#kind.schema, body);
    if (known !== null && this.#kind.nameOf(known) === name) return { known, found };
    throw new BootwaveError({
      code: this.#kind.unreadable,
      what: `what was decided about ${this.#kind.shown(name)} cannot be read`,
      unchanged: 'nothing was changed',
      next: 'was it written by a newer version of bootwave? Use that one',
    });
  }
}
