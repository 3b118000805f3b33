/** The order in force on this node: verified when it arrives, and again when it is read back. */
import { readFile } from 'node:fs/promises';
import { writeFileAtomic } from '../../../base/files.ts';
import { Turns } from '../../../base/turns.ts';
import {
  type OrderEnvelope,
  type OrderPublicKeys,
  type VerifiedOrder,
  verifyOrder,
} from '../../../protocol/order-envelope.ts';

export type OrderBookParts = {
  node: string;
  keys: OrderPublicKeys;
  /** File of the envelope in force. */
  path: string;
  /** Milliseconds since the epoch. */
  now(): number;
  /**
   * Root's judgement. Root has the TPM's memory and guards every operation on disks.
   * @throws BootwaveError one of `ORDER_CODES`
   */
  take(envelope: unknown): Promise<unknown>;
};

/** Root refuses it only because it expired: it is not obeyed any more, but its epoch still counts. */
const AGED = 'ORDER_EXPIRED';

export class OrderBook {
  readonly #parts: OrderBookParts;
  #inForce: VerifiedOrder | null = null;
  #envelope: unknown = null;
  /** Two orders that arrive at once are handled one after the other: the second is compared with the first. */
  readonly #turns = new Turns();

  constructor(parts: OrderBookParts) {
    this.#parts = parts;
  }

  get inForce(): VerifiedOrder | null {
    return this.#inForce;
  }

  /**
   * What an earlier boot obeyed. The file lies on a disk that anybody may have written to: only what the fleet signed
   * for this node counts, and only what is not older than what the TPM remembers. An order that has expired since still
   * holds its epoch against older ones.
   */
  load(): Promise<void> {
    return this.#turns.take(() => this.#load());
  }

  async #load(): Promise<void> {
    try {
      const envelope = JSON.parse(await readFile(this.#parts.path, 'utf8')) as OrderEnvelope;
      const { keys, node } = this.#parts;
      const { issuedAt } = JSON.parse(Buffer.from(envelope.payload, 'base64').toString('utf8')) as {
        issuedAt: number;
      };
      const kept = verifyOrder(envelope, keys, { nodeId: node, now: issuedAt, last: null });
      await this.#parts.take(envelope).catch((error: { code?: unknown }) => {
        if (error.code !== AGED) throw error;
      });
      if (kept.order.epoch > (this.#inForce?.order.epoch ?? 0)) {
        this.#inForce = kept;
        this.#envelope = envelope;
      }
    } catch {
      // Missing, torn, or not the fleet's: state is a cache, and the orchestrator delivers again.
    }
  }

  /**
   * @throws BootwaveError one of `ORDER_CODES`, or the disk's error when it could not be kept: it is not obeyed then
   */
  accept(envelope: unknown): Promise<{ epoch: number; digest: string; accepted: 'new' | 'same' }> {
    return this.#turns.take(async () => {
      const { node, keys, now } = this.#parts;
      const last =
        this.#inForce === null ? null : { epoch: this.#inForce.order.epoch, digest: this.#inForce.digest };
      const verified = verifyOrder(envelope, keys, { nodeId: node, now: now(), last });
      const { digest, order } = verified;
      const accepted = last?.epoch === order.epoch ? ('same' as const) : ('new' as const);
      await this.#parts.take(envelope);
      if (accepted === 'new') {
        await this.#write(envelope);
        this.#inForce = verified;
        this.#envelope = envelope;
      }
      return { epoch: order.epoch, digest, accepted };
    });
  }

  /** Writes it again, after the place where it is kept has changed. */
  async keep(): Promise<void> {
    if (this.#envelope !== null) await this.#write(this.#envelope);
  }

  #write(envelope: unknown): Promise<void> {
    return writeFileAtomic(this.#parts.path, `${JSON.stringify(envelope)}\n`);
  }
}
