import { randomBytes } from 'node:crypto';
import type { Redis } from 'ioredis';
import { script } from '../../fleet/script.ts';
import { ROLLOUT_KEYS } from './keys.ts';

/** Milliseconds without a sign of life after which another process drives a rollout. */
export const LEASE_LIFE = 6_000;

const swapScript = script<number>(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
`);

const releaseScript = script<number>(`
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
`);

/**
 * Who drives a rollout. Only spares work: two drivers at once would do no harm, because every step of theirs is a
 * compare-and-set on the rollout's revision.
 *
 * It names its holder's connection. The kernel closes that with the process, however it ends, and Redis knows at once:
 * nobody waits for the end of a lease whose holder is gone. The lease's own life is for a machine that ended without a
 * word, and for a Redis that does not say who is connected (older than 6.2, or ACLs against it).
 */
export class Lease {
  readonly #redis: Redis;
  readonly #key: string;
  readonly #token = randomBytes(9).toString('base64url');
  /** What stands in Redis while we hold it. */
  #value = '';
  /** The connection that it names. */
  #stream: unknown = null;

  constructor(redis: Redis, rollout: string) {
    this.#redis = redis;
    this.#key = ROLLOUT_KEYS.driver(rollout);
  }

  async take(): Promise<boolean> {
    await this.#named();
    const life = String(LEASE_LIFE);
    if ((await this.#redis.set(this.#key, this.#value, 'PX', life, 'NX')) === 'OK') return true;
    const held = await this.#redis.get(this.#key);
    if (held === null || !(await isOrphan(this.#redis, held))) return false;
    return (await swapScript(this.#redis, [this.#key], [held, this.#value, life])) === 1;
  }

  /** @returns false when it is another's by now */
  async renew(): Promise<boolean> {
    const before = this.#value;
    // After a lost connection it is another one that has to be named.
    await this.#named();
    return (await swapScript(this.#redis, [this.#key], [before, this.#value, String(LEASE_LIFE)])) === 1;
  }

  async release(): Promise<void> {
    await releaseScript(this.#redis, [this.#key], [this.#value]);
  }

  async #named(): Promise<void> {
    const { stream } = this.#redis;
    if (this.#stream === stream) return;
    const id = await this.#redis.client('ID').catch(() => '');
    this.#value = `${this.#token}/${id}`;
    this.#stream = stream;
  }
}

/** Whether somebody drives it who, as far as Redis knows, still runs. */
export async function isDriven(redis: Redis, rollout: string): Promise<boolean> {
  const held = await redis.get(ROLLOUT_KEYS.driver(rollout));
  return held !== null && !(await isOrphan(redis, held));
}

async function isOrphan(redis: Redis, value: string): Promise<boolean> {
  const id = value.split('/')[1] ?? '';
  if (id === '') return false;
  const list = await redis.client('LIST', 'ID', id).catch(() => null);
  return list !== null && String(list).trim() === '';
}
