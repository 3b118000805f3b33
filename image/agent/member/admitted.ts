import { lookup } from 'node:dns/promises';
import { messageOf } from '../../../base/error.ts';

/**
 * Who may connect to this node by SSH through its packet filter: the boot servers that have answered it over TLS, where
 * the orchestrator runs.
 */
export class Admitted {
  readonly #admit: (address: string) => Promise<unknown>;
  readonly #taken = new Set<string>();

  constructor(admit: (address: string) => Promise<unknown>) {
    this.#admit = admit;
  }

  /**
   * Never throws: what failed is tried again at the next heartbeat.
   * @param url of a boot server that has just answered
   */
  async take(url: string): Promise<void> {
    try {
      const found = await lookup(new URL(url).hostname, { all: true, family: 4 });
      for (const { address } of found) {
        if (this.#taken.has(address)) continue;
        await this.#admit(address);
        this.#taken.add(address);
      }
    } catch (error) {
      console.error(`bootwave-agent: ${url} is not let in by SSH: ${messageOf(error)}`);
    }
  }
}
