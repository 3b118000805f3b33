/**
 * Limits what strangers can make us write: refusals are audited, but the audit is kept for ever and anybody on the
 * network can cause refusals.
 */
export class RefusalBudget {
  readonly #limits: { perPeer: number; overall: number; window: number };
  #began = Number.NEGATIVE_INFINITY;
  #peers = new Map<string, number>();
  #written = 0;
  #kept = 0;

  /** @param limits entries per `window` milliseconds, per (code, peer) and over all */
  constructor(limits: { perPeer: number; overall: number; window: number }) {
    this.#limits = limits;
  }

  /**
   * @returns whether this one may be written, and how many were left out before it in the window that has just ended
   */
  spend(code: string, from: string, now: number): { write: boolean; leftOut: number } {
    let leftOut = 0;
    if (now - this.#began >= this.#limits.window || now < this.#began) {
      leftOut = this.#kept;
      this.#began = now;
      this.#peers = new Map();
      this.#written = 0;
      this.#kept = 0;
    }
    const key = `${code} ${from}`;
    const spent = this.#peers.get(key) ?? 0;
    const write = spent < this.#limits.perPeer && this.#written < this.#limits.overall;
    if (write) {
      this.#peers.set(key, spent + 1);
      this.#written += 1;
    } else {
      this.#kept += 1;
    }
    return { write, leftOut };
  }
}
