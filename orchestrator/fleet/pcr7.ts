import type { Redis } from 'ioredis';
import { KEYS } from './keys.ts';

/** Values of one model that are kept: each change of the fleet's Secure Boot lists makes one more. */
export const MOST_PCR7 = 16;

type ShownBy = { value: string; node: string };

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
    return (await this.#read(model)).map(({ value }) => value);
  }

  /**
   * Call it for members only: anybody on the wire can invent a model. Of two at once one may be lost, and is learned
   * when its machine attests again.
   * @param node id of the member that shows it
   */
  async keep(model: string, value: string, node: string): Promise<void> {
    const known = await this.#read(model);
    if (known.some((each) => each.value === value)) return;
    const next = withRoom([...known, { value, node }]);
    await this.#redis.hset(KEYS.pcr7, model, next.map((each) => `${each.value}@${each.node}`).join(' '));
  }

  async #read(model: string): Promise<ShownBy[]> {
    const text = (await this.#redis.hget(KEYS.pcr7, model)) ?? '';
    return text
      .split(' ')
      .filter((word) => word !== '')
      .map((word) => {
        const [value = '', node = ''] = word.split('@');
        return { value, node };
      });
  }
}

/**
 * Root on one member can extend PCR 7 with whatever it likes, as often as it likes, and keep a true log of it. So what makes
 * way is the oldest of whoever has shown the most: nobody's own values push out all of the others'. Pure.
 */
export function withRoom(shown: readonly ShownBy[]): ShownBy[] {
  if (shown.length <= MOST_PCR7) return [...shown];
  const countOf = (node: string) => shown.filter((each) => each.node === node).length;
  // Of two with the same count it is the one that has just come.
  const most = shown.toReversed().reduce((a, b) => (countOf(b.node) > countOf(a.node) ? b : a)).node;
  return shown.toSpliced(
    shown.findIndex(({ node }) => node === most),
    1,
  );
}
