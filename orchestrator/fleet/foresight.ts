import type { Redis } from 'ioredis';
import { GENESIS, type Link, linkTo } from './audit-chain.ts';

/**
 * Where the audit chain will stand when the next commit of this connection is carried out, as far as one can tell: SHA-256
 * costs 2 µs here and 100 µs in a Redis script. Only a guess. The script compares it with the chain, and what was
 * guessed wrongly it computes itself.
 */
export class Foresight {
  #head: Link = GENESIS;

  /** The links of entries with these digests. Whoever asks next on this connection follows the last of them. */
  foresee(digests: readonly string[]): { from: Link; links: Link[] } {
    const from = this.#head;
    const links: Link[] = [];
    for (const digest of digests) {
      this.#head = linkTo(this.#head, digest);
      links.push(this.#head);
    }
    return { from, links };
  }

  /** Where the chain stands, by Redis's own word. */
  learn(head: Link): void {
    this.#head = head;
  }
}

const known = new WeakMap<Redis, Foresight>();

/** Redis carries out the commands of one connection in their order, hence one guess for each. */
export function foresightOf(redis: Redis): Foresight {
  let found = known.get(redis);
  if (found === undefined) {
    found = new Foresight();
    known.set(redis, found);
  }
  return found;
}
