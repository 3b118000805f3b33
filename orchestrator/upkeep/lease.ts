import { randomBytes } from 'node:crypto';
import type { Redis } from 'ioredis';
import { at } from '../fleet/keys.ts';
import { script } from '../fleet/script.ts';

/** Token of the process that does the work now; expires with that process. */
export const leaseKey = (work: string): string => at('rollout', work, 'driver');

/** Milliseconds without a sign of life after which another process takes the work over. */
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
 * Who of several orchestrators does a work. Only spares work: two at once would do no harm, because every step of theirs is
 * a compare-and-set on a revision or an epoch.
 */
export class Lease {
  readonly #redis: Redis;
  readonly #key: string;
  readonly #token = randomBytes(9).toString('base64url');

  /** @param work id of a rollout, or the name of an upkeep */
  constructor(redis: Redis, work: string) {
    this.#redis = redis;
    this.#key = leaseKey(work);
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
