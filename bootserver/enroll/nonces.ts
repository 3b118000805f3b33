/** Nonces for members: each is made for one machine, can be used once, and has a number of the fleet. */
import { randomBytes } from 'node:crypto';
import { refusal } from '../../base/error.ts';
import { LIMITS } from '../../protocol/enrolment/messages.ts';
import type { NodeDirectory } from '../directory.ts';

export class Nonces {
  readonly #directory: Pick<NodeDirectory, 'numberNonce'>;
  readonly #now: () => number;
  /** By node id; insertion order is age, because an entry is inserted again for each nonce. */
  readonly #open = new Map<string, { nonce: Buffer; number: number; at: number }>();

  /** @param now milliseconds since the epoch */
  constructor(directory: Pick<NodeDirectory, 'numberNonce'>, now: () => number) {
    this.#directory = directory;
    this.#now = now;
  }

  /** One machine has one nonce: the newest. */
  async make(id: string): Promise<Buffer> {
    const nonce = randomBytes(32);
    const number = await this.#directory.numberNonce();
    this.#open.delete(id);
    const [oldest] = this.#open.keys();
    if (this.#open.size >= LIMITS.nonces && oldest !== undefined) this.#open.delete(oldest);
    this.#open.set(id, { nonce, number, at: this.#now() });
    return nonce;
  }

  /** @throws BootwaveError `NONCE_SPENT` */
  spend(id: string): { nonce: Buffer; number: number } {
    const found = this.#open.get(id);
    this.#open.delete(id);
    if (found !== undefined && this.#now() - found.at < LIMITS.proofWithin) return found;
    throw refusal('NONCE_SPENT', 'no nonce is open for this machine', 'ask for another one');
  }
}
