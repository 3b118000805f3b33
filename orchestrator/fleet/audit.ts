import type { Redis } from 'ioredis';
import { z } from 'zod';
import { hangUp } from '../redis/hang-up.ts';
import { type AuditLine, commit } from './commit.ts';
import { KEYS } from './keys.ts';

/**
 * One line of the fleet's history. Who did what to which node, and why. The stream is append-only; an issue to come
 * chains the entries by hash, in `commit.ts` where they are appended, under fields beside `entry`.
 */
export const auditEntrySchema = z.object({
  /** Milliseconds since the epoch, by the clock of the process that acted. */
  at: z.number(),
  /** `operator:<user>`, `policy`, `node`, `bootserver`, `sweeper`. */
  actor: z.string(),
  /** Node id; absent where the action is about something else. */
  node: z.string().optional(),
  /** A verb: `enrol`, `approve`, `reject`, `retire`, `certify`, `heartbeat`, `lost`, `refused`, `expect`, ... */
  action: z.string(),
  /** States before and after; equal when only facts changed, absent for what has no state. */
  from: z.string().optional(),
  to: z.string().optional(),
  reason: z.string(),
  detail: z.record(z.string(), z.string()).optional(),
});
export type AuditEntry = z.infer<typeof auditEntrySchema>;
/** `key` is the place in the stream: `<milliseconds by Redis>-<number>`. */
export type AuditRecord = AuditEntry & { key: string };

export function auditLine(entry: AuditEntry): AuditLine {
  const text = JSON.stringify(entry);
  return entry.node === undefined ? { entry: text } : { entry: text, node: entry.node };
}

export type AuditRange = {
  /** Milliseconds since the epoch, inclusive. */
  since?: number;
  node?: string;
  /** At most this many, the newest ones. */
  last?: number;
};

const PAGE = 500;
/** Milliseconds that a follower waits in one blocking read; bounds how late it sees the abort signal. */
const FOLLOW_BLOCK = 500;

type StreamItem = [key: string, fields: string[]];

export class AuditLog {
  readonly #redis: Redis;

  constructor(redis: Redis) {
    this.#redis = redis;
  }

  /** For what changes no record: a refusal, a note. */
  async append(...entries: AuditEntry[]): Promise<void> {
    await commit(this.#redis, { records: [], audit: entries.map(auditLine) });
  }

  /** Oldest first. */
  async read(range: AuditRange = {}): Promise<AuditRecord[]> {
    const stream = range.node === undefined ? KEYS.audit : KEYS.auditOf(range.node);
    const from = range.since === undefined ? '-' : String(range.since);
    const items: StreamItem[] = [];
    if (range.last !== undefined) {
      items.push(...(await this.#redis.xrevrange(stream, '+', from, 'COUNT', range.last)).reverse());
    } else {
      let start = from;
      for (;;) {
        const page = await this.#redis.xrange(stream, start, '+', 'COUNT', PAGE);
        items.push(...page);
        const end = page.at(-1);
        if (end === undefined || page.length < PAGE) break;
        start = `(${end[0]}`;
      }
    }
    return range.node === undefined ? items.map(recordOf) : this.#look(items.map(([key]) => key));
  }

  /** Every entry after `after` (a stream key; by default those to come), until the signal aborts. */
  async *follow(signal: AbortSignal, after = '$'): AsyncGenerator<AuditRecord> {
    // A blocking read would hold up every other command of the shared connection.
    const redis = this.#redis.duplicate();
    redis.on('error', () => {});
    try {
      let key = after;
      if (key === '$') key = (await this.#redis.xrevrange(KEYS.audit, '+', '-', 'COUNT', 1))[0]?.[0] ?? '0';
      while (!signal.aborted) {
        const reply = (await redis.xread('COUNT', PAGE, 'BLOCK', FOLLOW_BLOCK, 'STREAMS', KEYS.audit, key)) as
          | [string, StreamItem[]][]
          | null;
        for (const item of reply?.[0]?.[1] ?? []) {
          key = item[0];
          yield recordOf(item);
        }
      }
    } finally {
      await hangUp(redis);
    }
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

function recordOf([key, fields]: StreamItem): AuditRecord {
  const text = fields[fields.indexOf('entry') + 1] ?? '{}';
  return { ...auditEntrySchema.parse(JSON.parse(text)), key };
}
