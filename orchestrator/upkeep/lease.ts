import { randomBytes } from 'node:crypto';
import type { Redis } from 'ioredis';
import { script } from '../fleet/script.ts';
import { ROLLOUT_KEYS } from '../rollout/run/keys.ts';

/** Milliseconds without a sign of life after which another process drives a rollout. */
export const LEASE_LIFE = 6_000;

const renewScript = script<number>(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
`);

const releaseScript = script<number>(`
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
`);

/**
 * Who drives a rollout. Only spares work: two drivers at once would do no harm, because every step of theirs is a
 * compare-and-set on the rollout's revision.
 */
export class Lease {
  readonly #redis: Redis;
  readonly #key: string;
  readonly #token = randomBytes(9).toString('base64url');

  constructor(redis: Redis, rollout: string) {
    this.#redis = redis;
    this.#key = ROLLOUT_KEYS.driver(rollout);
  }

  async take(): Promise<boolean> {
    return (await this.#redis.set(this.#key, this.#token, 'PX', LEASE_LIFE, 'NX')) === 'OK';
  }

  /** @returns false when it is another's by now */
  async renew(): Promise<boolean> {
    return (await renewScript(this.#redis, [this.#key], [this.#token, String(LEASE_LIFE)])) === 1;
  }

  async release(): Promise<void> {
    await releaseScript(this.#redis, [this.#key], [this.#token]);
  }
}
