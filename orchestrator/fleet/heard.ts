import type { Redis } from 'ioredis';
import type { Heartbeat } from '../../protocol/enrolment/heartbeat.ts';
import { KEYS } from './keys.ts';
import { beatOf } from './record.ts';
import { script } from './script.ts';
import type { State } from './transitions.ts';

const beatScript = script<'stale' | 'same' | 'changed'>(`
local now = redis.call('HMGET', KEYS[1], 'serial', 'previous', 'beat')
local current, renewed = now[1] == ARGV[2], now[2] and now[2] ~= ''
if ARGV[2] == '' or not (current or now[2] == ARGV[2]) then return 'stale' end
redis.call('ZADD', KEYS[2], ARGV[4], ARGV[1])
if now[3] == ARGV[3] and not (current and renewed) then return 'same' end
return 'changed'
`);

/** When each node was heard from, and when it attested: beside the records, because heartbeats come every few seconds. */
export class Heard {
  readonly #redis: Redis;

  constructor(redis: Redis) {
    this.#redis = redis;
  }

  /**
   * The cheap path of a heartbeat: one round trip, no audit entry.
   * @returns `changed` when the record has to be updated as well
   */
  async beat(id: string, serial: string, beat: Heartbeat, at: number): Promise<'stale' | 'same' | 'changed'> {
    const { running, healthy, reason, hardware } = beat;
    const print = beatOf(running, healthy, healthy ? '' : reason, hardware?.smart ?? null);
    return beatScript(this.#redis, [KEYS.node(id), KEYS.seen], [id, serial, print, String(at)]);
  }

  /** Milliseconds since the epoch of each node's last heartbeat. */
  lastSeen(): Promise<Map<string, number>> {
    return this.#times(KEYS.seen);
  }

  /** Milliseconds since the epoch of each node's last good attestation. */
  lastAttested(): Promise<Map<string, number>> {
    return this.#times(KEYS.attested);
  }

  async #times(key: string): Promise<Map<string, number>> {
    const flat = await this.#redis.zrange(key, '0', '-1', 'WITHSCORES');
    const times = new Map<string, number>();
    for (let i = 0; i < flat.length; i += 2) times.set(flat[i] ?? '', Number(flat[i + 1]));
    return times;
  }

  async lastAttestedOf(id: string): Promise<number> {
    return Number((await this.#redis.zscore(KEYS.attested, id)) ?? 0);
  }

  async lastSeenOf(id: string): Promise<number | null> {
    const score = await this.#redis.zscore(KEYS.seen, id);
    return score === null ? null : Number(score);
  }

  /** Nodes in one of `states` that were last heard from at or before `at`. */
  async silentSince(at: number, states: readonly State[]): Promise<string[]> {
    const silent = await this.#redis.zrange(KEYS.seen, '-inf', String(at), 'BYSCORE');
    if (silent.length === 0) return [];
    const watched = new Set(await this.#redis.sunion(...states.map(KEYS.nodesInState)));
    return silent.filter((id) => watched.has(id));
  }
}
