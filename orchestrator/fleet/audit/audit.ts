import type { Redis } from 'ioredis';
import { certificateOf } from '../acting.ts';
import { type AuditLine, commit } from '../commit.ts';
import { KEYS } from '../keys.ts';
import { readStored } from '../read-stored.ts';
import { PAGE, pagesOf, type StreamItem } from '../stream.ts';
import type { Item, Link } from './chain.ts';
import { type AuditEntry, type AuditRecord, auditEntrySchema } from './entry.ts';

export function auditLine(entry: AuditEntry): AuditLine {
  const certificate = certificateOf(entry.actor);
  const known = certificate === undefined ? entry : { ...entry, certificate };
  const text = JSON.stringify(known);
  return entry.node === undefined ? { entry: text } : { entry: text, node: entry.node };
}

export type AuditRange = {
  /** Milliseconds since the epoch, inclusive. */
  since?: number;
  /** Place in the stream; only entries after it. */
  after?: string;
  node?: string;
  /** At most this many, the newest ones. */
  last?: number;
};

export class AuditLog {
  readonly #redis: Redis;

  constructor(redis: Redis) {
    this.#redis = redis;
  }

  /** For entries that change no record: a refusal, a note. */
  async append(...entries: AuditEntry[]): Promise<void> {
    await commit(this.#redis, { records: [], audit: entries.map(auditLine) });
  }

  /** Oldest first. */
  async read(range: AuditRange = {}): Promise<AuditRecord[]> {
    const stream = range.node === undefined ? KEYS.audit : KEYS.auditOf(range.node);
    const since = range.since === undefined ? '-' : String(range.since);
    const from = range.after === undefined ? since : `(${range.after}`;
    const items: StreamItem[] = [];
    if (range.last !== undefined) {
      items.push(...(await this.#redis.xrevrange(stream, '+', from, 'COUNT', range.last)).reverse());
    } else {
      for await (const page of pagesOf(this.#redis, stream, from)) items.push(...page);
    }
    return range.node === undefined ? items.map(recordOf) : this.#look(items.map(([key]) => key));
  }

  /** Everything after `after` as it is stored, unverified: `verify.ts` checks it. */
  async *items(after = '0-0'): AsyncGenerator<Item> {
    for await (const page of pagesOf(this.#redis, KEYS.audit, `(${after}`)) yield* page.map(itemOf);
  }

  /** Key of the oldest entry; null: there is none. */
  async first(): Promise<string | null> {
    const [found] = await this.#redis.xrange(KEYS.audit, '-', '+', 'COUNT', 1);
    return found?.[0] ?? null;
  }

  async item(key: string): Promise<Item | null> {
    const [found] = await this.#redis.xrange(KEYS.audit, key, key);
    return found === undefined ? null : itemOf(found);
  }

  /** What the newest entry should be. */
  async head(): Promise<Link | null> {
    const [seq, hash] = await this.#redis.hmget(KEYS.auditHead, 'seq', 'hash');
    return seq == null || hash == null ? null : { seq: Number(seq), hash };
  }

  /** A node's own history holds only the keys of the entries. */
  async #look(keys: readonly string[]): Promise<AuditRecord[]> {
    const found: AuditRecord[] = [];
    for (let i = 0; i < keys.length; i += PAGE) {
      const pipeline = this.#redis.pipeline();
      for (const key of keys.slice(i, i + PAGE)) pipeline.xrange(KEYS.audit, key, key);
      for (const [error, items] of (await pipeline.exec()) ?? []) {
        if (error !== null) throw error;
        found.push(...(items as StreamItem[]).map(recordOf));
      }
    }
    return found;
  }
}

/** Whoever owns Redis can write something that is not an entry: it is shown as unreadable, and all others are shown. */
function recordOf([key, fields]: StreamItem): AuditRecord {
  const seq = Number(fieldOf(fields, 'seq'));
  const place = { key, seq: Number.isSafeInteger(seq) ? seq : 0, hash: fieldOf(fields, 'hash') ?? '' };
  return { ...(entryIn(fieldOf(fields, 'entry')) ?? unreadable(key)), ...place };
}

/** @returns null when it is not an entry of an audit */
export function entryIn(text: string | null): AuditEntry | null {
  return readStored(auditEntrySchema, text ?? '');
}

const unreadable = (key: string): AuditEntry => ({
  at: Number(key.split('-')[0]),
  actor: 'unknown',
  action: 'unreadable',
  reason: `this is not an entry that a server wrote: 'bootwave audit verify' shows from which entry on the history differs`,
});

function itemOf([key, fields]: StreamItem): Item {
  const seq = fieldOf(fields, 'seq');
  return {
    key,
    text: fieldOf(fields, 'entry'),
    seq: seq === null || !/^\d{1,15}$/.test(seq) ? null : Number(seq),
    hash: fieldOf(fields, 'hash'),
  };
}

/** Names are only at even places: a text may look like a name. */
function fieldOf(fields: readonly string[], name: string): string | null {
  for (let i = 0; i < fields.length; i += 2) if (fields[i] === name) return fields[i + 1] ?? null;
  return null;
}
