import type { z } from 'zod';
import { readStored } from '../read-stored.ts';
import type { Decided } from './entry.ts';

type Kind<T> = {
  /** Key of the record of that name; with an empty name what all of them begin with. */
  key(name: string): string;
  nameOf(value: T): string;
  schema: z.ZodType<T>;
  /** What a word that cannot be read does to the one before it. */
  unreadable: 'keeps' | 'forgets';
};

/** The last word about each subject of one kind, of entries that come in their order (`Standing`). */
export class LastWords<T> {
  readonly #kind: Kind<T>;
  readonly #known = new Map<string, T>();
  #changes = 0;

  constructor(kind: Kind<T>) {
    this.#kind = kind;
  }

  add({ key, body }: Pick<Decided, 'key' | 'body'>): void {
    const { key: keyOf, nameOf, schema, unreadable } = this.#kind;
    if (!key.startsWith(keyOf(''))) return;
    const decided = readStored(schema, body);
    if (decided !== null && keyOf(nameOf(decided)) === key) this.#known.set(key, decided);
    else if (unreadable === 'forgets') this.#known.delete(key);
    else return;
    this.#changes += 1;
  }

  /** Another number whenever something was decided. */
  get changes(): number {
    return this.#changes;
  }

  /** Those that are over, or let go, among them. */
  get all(): T[] {
    return [...this.#known.values()];
  }

  named(name: string): T | undefined {
    return this.#known.get(this.#kind.key(name));
  }
}
