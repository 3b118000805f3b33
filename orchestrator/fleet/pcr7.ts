import type { Redis } from 'ioredis';
import { KEYS } from './keys.ts';

/** Values of one model that are kept, the newest: each change of the fleet's Secure Boot lists makes one more. */
export const MOST_PCR7 = 16;

/**
 * PCR 7 as members of each model have shown it together with a log that says why: what machines of the model that keep no
 * log are held against.
 */
export class ShownPcr7 {
  readonly #redis: Redis;

  constructor(redis: Redis) {
    this.#redis = redis;
  }

  /** @returns hex, the oldest first; none while no member of this model has shown one */
  async get(model: string): Promise<string[]> {
    return valuesOf(await this.#redis.hget(KEYS.pcr7, model));
  }

  /**
   * Call it for members only: anybody on the wire can invent a model. Of two at once one may be lost, and is learned
   * when its machine attests again.
   */
  async keep(model: string, value: string): Promise<void> {
    const known = await this.get(model);
    if (known.includes(value)) return;
    await this.#redis.hset(KEYS.pcr7, model, [...known, value].slice(-MOST_PCR7).join(' '));
  }
}

const valuesOf = (text: string | null): string[] => (text === null || text === '' ? [] : text.split(' '));
