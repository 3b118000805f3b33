import type { Redis } from 'ioredis';
import { KEYS } from './keys.ts';
import { sealed, unsealed } from './server-seal.ts';

/** Values that are kept for one model: each change of the fleet's Secure Boot lists adds one. */
export const MOST_PCR7 = 16;

type ShownBy = { value: string; node: string };

/**
 * Values of PCR 7 that members of each model have shown together with a log that explains them: machines of the model
 * without a log are compared with these. A server remembers what it has seen, whatever becomes of it in Redis.
 */
export class ShownPcr7 {
  readonly #redis: Redis;
  readonly #own = new Map<string, readonly ShownBy[]>();

  constructor(redis: Redis) {
    this.#redis = redis;
  }

  /** @returns hex, the oldest first; none while no member of this model has shown one */
  async get(model: string): Promise<string[]> {
    return (await this.#read(model)).map(({ value }) => value);
  }

  /**
   * Call it for members only: anybody on the wire can invent a model. If two arrive at once, one may be lost; it is
   * learned when its machine attests again.
   * @param node id of the member that shows it
   */
  async keep(model: string, value: string, node: string): Promise<void> {
    const known = await this.#read(model);
    if (known.some((each) => each.value === value)) return;
    const next = withRoom([...known, { value, node }]);
    this.#own.set(model, next);
    const text = next.map((each) => `${each.value}@${each.node}`).join(' ');
    await this.#redis.hset(KEYS.pcr7, model, sealed(this.#redis, aboutOf(model), text));
  }

  async #read(model: string): Promise<ShownBy[]> {
    const text = (await this.#redis.hget(KEYS.pcr7, model)) ?? '';
    const shared = (unsealed(this.#redis, aboutOf(model), text) ?? '')
      .split(' ')
      .filter((word) => word !== '')
      .map((word) => {
        const [value = '', node = ''] = word.split('@');
        return { value, node };
      });
    const own = this.#own.get(model) ?? [];
    const more = shared.filter(({ value }) => own.every((each) => each.value !== value));
    if (more.length === 0) return [...own];
    let all = [...own, ...more];
    while (all.length > MOST_PCR7) all = withRoom(all);
    this.#own.set(model, all);
    return all;
  }
}

const aboutOf = (model: string): string => `${KEYS.pcr7} ${model}`;

/**
 * Root on one member can extend PCR 7 with any value, as often as it likes, and keep a true log of it. So the oldest
 * value of the node that has shown most is dropped: no node's values can push out all others. Pure.
 */
export function withRoom(shown: readonly ShownBy[]): ShownBy[] {
  if (shown.length <= MOST_PCR7) return [...shown];
  const countOf = (node: string) => shown.filter((each) => each.node === node).length;
  // If two nodes have the same count, it is the one that has just come.
  const most = shown.toReversed().reduce((a, b) => (countOf(b.node) > countOf(a.node) ? b : a)).node;
  return shown.toSpliced(
    shown.findIndex(({ node }) => node === most),
    1,
  );
}
