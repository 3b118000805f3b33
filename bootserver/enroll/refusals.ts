/** How many refusals of one code from one address are audited within a window; the rest are only counted. */
export const REFUSAL_LIMITS = { perWindow: 10, windowMilliseconds: 60_000, addresses: 4096 } as const;

/**
 * Keeps a machine that floods the server with bad requests from flooding the audit stream. Pure but for its counters.
 */
export class RefusalGate {
  readonly #windows = new Map<string, { since: number; count: number }>();

  /** @returns whether this refusal is one to audit */
  pass(code: string, address: string, now: number): boolean {
    const key = `${code} ${address}`;
    const window = this.#windows.get(key);
    if (window !== undefined && now - window.since < REFUSAL_LIMITS.windowMilliseconds) {
      window.count += 1;
      return window.count <= REFUSAL_LIMITS.perWindow;
    }
    this.#windows.delete(key);
    if (this.#windows.size >= REFUSAL_LIMITS.addresses) {
      const oldest = this.#windows.keys().next();
      if (!oldest.done) this.#windows.delete(oldest.value);
    }
    this.#windows.set(key, { since: now, count: 1 });
    return true;
  }
}
