import type { Redis } from 'ioredis';
import { KEYS } from './keys.ts';

/** PCR 7 of the first member of each model, which later machines of the model are held against. */
export class FirstPcr7 {
  readonly #redis: Redis;

  constructor(redis: Redis) {
    this.#redis = redis;
  }

  /** @returns hex; null while no member of this model has shown one */
  get(model: string): Promise<string | null> {
    return this.#redis.hget(KEYS.pcr7, model);
  }

  /** Keeps the first. Call it for members only: anybody on the wire can invent a model. */
  async keep(model: string, value: string): Promise<void> {
    await this.#redis.hsetnx(KEYS.pcr7, model, value);
  }
}
