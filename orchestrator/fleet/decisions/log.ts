import type { Redis } from 'ioredis';
import { hangUp, persistent } from '../../redis/connection.ts';
import { BanSet } from '../bans/set.ts';
import type { Op } from '../commit.ts';
import { KEYS } from '../keys.ts';
import { pagesOf, type StreamItem } from '../stream.ts';
import { type Entry, readEntry } from './entry.ts';
import type { Sealer } from './seal.ts';

/** The end of the log as a reader saw it: a log that was restored to an older state and grew again has another end. */
export type Tip = { key: string; text: string };

/**
 * For `commit`: appends to the fleet's log, and wakes the servers, with whatever else is committed.
 * @param seal empty for a lift, which two people have signed
 */
export function appendOp(entry: Entry, seal: string): Op {
  return { op: 'append', key: KEYS.bans, value: entry.text, seal };
}

/** An entry as it stands in Redis, where anybody may have written it. */
export type Found = { entry: Entry; seal: string };

/** The log of decisions as all servers share it: a stream in Redis. */
export class DecisionLog {
  readonly #redis: Redis;
  /** For what this process adds. */
  readonly sealer: Sealer;

  constructor(redis: Redis, sealer: Sealer) {
    this.#redis = redis;
    this.sealer = sealer;
  }

  /** Null: nobody was ever banned. One cheap round trip, which servers poll. */
  async tip(): Promise<Tip | null> {
    const [item] = await this.#redis.xrevrange(KEYS.bans, '+', '-', 'COUNT', 1);
    return item === undefined ? null : tipOf(item);
  }

  /**
   * What was appended after `known`.
   * @returns `whole`: these are all entries, because the log does not continue from `known`; `tip` null: it is empty;
   * `unread`: how many lines are no entries that this version knows
   */
  async read(
    known: Tip | null,
  ): Promise<{ found: Found[]; tip: Tip | null; whole: boolean; unread: number }> {
    const items: StreamItem[] = [];
    for await (const page of pagesOf(this.#redis, KEYS.bans, known?.key ?? '-')) items.push(...page);
    if (known !== null) {
      const first = items[0] === undefined ? null : tipOf(items[0]);
      if (first?.key !== known.key || first.text !== known.text) return this.read(null);
      items.shift();
    }
    const last = items.at(-1);
    const found = items.flatMap(foundIn);
    return {
      ...{ found, unread: items.length - found.length, whole: known === null },
      tip: last === undefined ? known : tipOf(last),
    };
  }

  /** All of it, a page at a time. */
  async *pages(): AsyncGenerator<Found[]> {
    for await (const page of pagesOf(this.#redis, KEYS.bans, '-')) yield page.flatMap(foundIn);
  }

  /** For one question; servers keep a set of their own. */
  async set(): Promise<BanSet> {
    const set = new BanSet();
    for (const { entry } of (await this.read(null)).found) set.add(entry);
    return set;
  }

  /** Calls `wake` when somebody appended. Messages may be lost: a caller that needs every entry polls as well. */
  async subscribe(wake: () => void): Promise<() => Promise<void>> {
    const redis = persistent(this.#redis.duplicate({ maxRetriesPerRequest: null }));
    redis.on('error', () => {});
    redis.on('message', wake);
    // ioredis subscribes again after every lost connection, and entries from meanwhile are read.
    redis.on('ready', wake);
    try {
      await redis.subscribe(KEYS.bans);
    } catch (error) {
      await hangUp(redis);
      throw error;
    }
    return () => hangUp(redis);
  }
}

function tipOf([key, fields]: StreamItem): Tip {
  return { key, text: fields[fields.indexOf('entry') + 1] ?? '' };
}

function foundIn(item: StreamItem): Found[] {
  const [, fields] = item;
  const entry = readEntry(tipOf(item).text);
  // Entries of the versions before have no seal.
  return entry === null ? [] : [{ entry, seal: fields[2] === 'seal' ? (fields[3] ?? '') : '' }];
}
