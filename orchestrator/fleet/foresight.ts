import type { Redis } from 'ioredis';
import { GENESIS, type Link, linkTo } from './audit/chain.ts';

/**
 * Where the audit chain will stand when the next commit of this connection is carried out, as a prediction: SHA-256
 * costs 2 µs here and 100 µs in a Redis script. The script compares the prediction with the chain, and computes the
 * hashes itself if it was wrong.
 */
class Foresight {
  #head: Link = GENESIS;

  /** The links of entries with these digests. The next caller on this connection continues from the last of them. */
  foresee(digests: readonly string[]): { from: Link; links: Link[] } {
    const from = this.#head;
    const links: Link[] = [];
    for (const digest of digests) {
      this.#head = linkTo(this.#head, digest);
      links.push(this.#head);
    }
    return { from, links };
  }

  /** The head of the chain, as Redis reports it. */
  learn(head: Link): void {
    this.#head = head;
  }
}

const known = new WeakMap<Redis, Foresight>();

/** Redis carries out the commands of one connection in order, so there is one prediction for each connection. */
export function foresightOf(redis: Redis): Foresight {
  let found = known.get(redis);
  if (found === undefined) {
    found = new Foresight();
    known.set(redis, found);
  }
  return found;
}
