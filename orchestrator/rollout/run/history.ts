/** What happened in rollouts, when and why, as the audit stream has it. */
import type { Redis } from 'ioredis';
import { entryIn } from '../../fleet/audit/audit.ts';
import type { AuditEntry } from '../../fleet/audit/entry.ts';
import { KEYS } from '../../fleet/keys.ts';
import { bodiesOf } from '../../redis/bodies.ts';
import type { NodeStep } from '../node-step.ts';
import { ROLLOUT_KEYS } from './keys.ts';

export type RolloutEvent = {
  /** Milliseconds since the epoch. */
  at: number;
  rollout: string;
  what: 'rollout' | 'wave' | 'node';
  /** State of the wave or the node; the id of the rollout. */
  name: string;
  /** Id of the node. */
  node?: string;
  from: string;
  to: string;
  why: string;
  /** `rollout` is the engine; else the actor who caused it. */
  by: string;
};

const PAGE = 1_000;

type Item = [key: string, fields: string[]];

/** The place after which everything is still to come. */
export async function lastKey(redis: Redis): Promise<string> {
  return (await redis.xrevrange(KEYS.audit, '+', '-', 'COUNT', 1))[0]?.[0] ?? '0-0';
}

/** Reads the stream bit by bit; remembers the names of nodes. */
export class RolloutHistory {
  readonly #redis: Redis;
  readonly #id: string;
  readonly #names = new Map<string, string>();
  #after: string;

  /** @param after key in the stream, or milliseconds since the epoch */
  constructor(redis: Redis, id: string, after: string) {
    this.#redis = redis;
    this.#id = id;
    this.#after = after;
  }

  /** Where the next call begins. */
  get after(): string {
    return this.#after;
  }

  /** What has come since the last call, oldest first. */
  async next(): Promise<RolloutEvent[]> {
    const found: RolloutEvent[] = [];
    for (;;) {
      const items = (await this.#redis.xrange(KEYS.audit, `(${this.#after}`, '+', 'COUNT', PAGE)) as Item[];
      const entries = items.flatMap((item) => this.#ours(item));
      await this.#learn(entries);
      found.push(...entries.map((entry) => eventOf(entry, this.#names)));
      this.#after = items.at(-1)?.[0] ?? this.#after;
      if (items.length < PAGE) return found;
    }
  }

  #ours([, fields]: Item): AuditEntry[] {
    const text = fields[fields.indexOf('entry') + 1] ?? '';
    // Others write far more: parsing all entries only to drop most would cost more than everything else.
    if (!text.includes(this.#id)) return [];
    const entry = entryIn(text);
    return entry?.detail?.rollout === this.#id ? [entry] : [];
  }

  async #learn(entries: readonly AuditEntry[]): Promise<void> {
    const unknown = [...new Set(entries.flatMap(({ node }) => node ?? []))].filter(
      (id) => !this.#names.has(id),
    );
    if (unknown.length === 0) return;
    const keys = unknown.map((node) => ROLLOUT_KEYS.node(this.#id, node));
    for (const [i, body] of (await bodiesOf(this.#redis, keys)).entries())
      if (body !== null) this.#names.set(unknown[i]!, (JSON.parse(body) as NodeStep).name);
  }
}

/** @param names of nodes by id */
export function eventOf(entry: AuditEntry, names: ReadonlyMap<string, string>): RolloutEvent {
  const { at, node, detail, from = '', to = '', reason: why, actor: by } = entry;
  const rollout = detail?.rollout ?? '';
  const common = { at, rollout, from, to, why, by };
  if (node !== undefined) return { ...common, what: 'node', name: names.get(node) ?? node, node };
  if (detail?.wave !== undefined) return { ...common, what: 'wave', name: detail.wave };
  return { ...common, what: 'rollout', name: rollout };
}
