import type { Authority } from '../../../keys/authority.ts';
import type { BanSet } from './set.ts';

/** Milliseconds. */
export const CRL_TIMES = {
  /** How long a list may be relied on. */
  life: 24 * 3600_000,
  /** A list is signed again when it is this old, or when there is a new ban. */
  renew: 3600_000,
  /** Valid from a little earlier, for readers whose clock is slow. */
  before: 5 * 60_000,
} as const;

/** The list of revoked node certificates, signed when it is asked for and kept until it is out of date. */
export class NodesCrl {
  readonly #authority: () => Authority;
  readonly #set: BanSet;
  readonly #now: () => number;
  #last: { der: Buffer; at: number; revision: number; issuer: string } | null = null;

  /** @param now milliseconds since the epoch */
  constructor(authority: () => Authority, set: BanSet, now: () => number = Date.now) {
    this.#authority = authority;
    this.#set = set;
    this.#now = now;
  }

  /** DER. */
  current(): Buffer {
    const now = this.#now();
    const { revision } = this.#set;
    const last = this.#last;
    const authority = this.#authority();
    const same = last?.issuer === authority.id;
    if (
      last !== null &&
      same &&
      last.revision === revision &&
      now >= last.at &&
      now - last.at < CRL_TIMES.renew
    ) {
      return last.der;
    }
    // The time itself is the number: it grows across restarts and restored backups, and is the same on all boot
    // servers.
    const at = last === null ? now : Math.max(now, last.at + 1);
    const der = authority.revoke({
      number: BigInt(at),
      thisUpdate: new Date(at - CRL_TIMES.before),
      nextUpdate: new Date(at + CRL_TIMES.life),
      revoked: this.#set.revoked(),
    });
    this.#last = { der, at, revision, issuer: authority.id };
    return der;
  }
}
