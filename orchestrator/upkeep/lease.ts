import { randomBytes } from 'node:crypto';
import type { Redis } from 'ioredis';
import { at } from '../fleet/keys.ts';
import { script } from '../fleet/script.ts';

/** Token of the process that does the work now; expires with that process. */
export const leaseKey = (work: string): string => at('rollout', work, 'driver');

/** Milliseconds without a sign of life after which another process takes the work over. */
const LEASE_LIFE = 6_000;

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
 * Which of several orchestrators does a task. It only saves work: two at once would do no harm, because every step of
 * theirs is a compare-and-set on a revision or an epoch.
 *
 * It names its holder's connection. The kernel closes that with the process, however it ends, and Redis knows at once:
 * nobody waits for the end of a lease whose holder is gone. The lease's own expiry is for a machine that failed
 * suddenly, and for a Redis that does not show who is connected (older than 6.2, or ACLs against it).
 */
export class Lease {
  readonly #redis: Redis;
  readonly #key: string;
  readonly #token = randomBytes(9).toString('base64url');
  /** The value in Redis while we hold it. */
  #value = '';
  /** The connection that it names. */
  #stream: unknown = null;

  /** @param work id of a rollout, or the name of an upkeep */
  constructor(redis: Redis, work: string) {
    this.#redis = redis;
    this.#key = leaseKey(work);
  }

  async take(): Promise<boolean> {
    await this.#named();
    const life = String(LEASE_LIFE);
    if ((await this.#redis.set(this.#key, this.#value, 'PX', life, 'NX')) === 'OK') return true;
    const held = await this.#redis.get(this.#key);
    if (held === null || !(await isOrphan(this.#redis, held))) return false;
    return (await swapScript(this.#redis, [this.#key], [held, this.#value, life])) === 1;
  }

  /** @returns false when another process has it by now */
  async renew(): Promise<boolean> {
    const before = this.#value;
    // After a lost connection the lease has to name the new one.
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

/** Whether a process that, as far as Redis knows, still runs does this task. */
export async function isHeld(redis: Redis, work: string): Promise<boolean> {
  const held = await redis.get(leaseKey(work));
  return held !== null && !(await isOrphan(redis, held));
}

async function isOrphan(redis: Redis, value: string): Promise<boolean> {
  const id = value.split('/')[1] ?? '';
  if (id === '') return false;
  const list = await redis.client('LIST', 'ID', id).catch(() => null);
  return list !== null && String(list).trim() === '';
}
