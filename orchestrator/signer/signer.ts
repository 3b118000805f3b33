import { BootwaveError } from '../../base/error.ts';
import {
  type Order,
  type OrderEnvelope,
  orderEnvelope,
  orderSchema,
  signedBytes,
} from '../../protocol/order.ts';
import type { OrderSigner, Standing } from '../orders/order-signer.ts';
import type { Consents } from './consents.ts';
import { judge, type SignerLimits, wipeConsent } from './judge.ts';
import type { Ledger } from './ledger.ts';
import type { OrderKey } from './order-key.ts';

export type SignerParts = {
  key: OrderKey;
  ledger: Ledger;
  consents: Consents;
  /** Facts of a published image; null: there is none of that version. */
  facts(version: string): Promise<{ sha256: string; size: number } | null>;
  limits: SignerLimits;
  /** Milliseconds since the epoch. */
  now(): number;
};

/** The one place that uses the order key. */
export class Signer implements OrderSigner {
  readonly #parts: SignerParts;

  constructor(parts: SignerParts) {
    this.#parts = parts;
  }

  async sign(asked: unknown): Promise<OrderEnvelope> {
    const { key, ledger, consents, facts, limits, now } = this.#parts;
    const order = wellFormed(asked);
    const [rules, published] = await Promise.all([
      consents.current(),
      order.image === null ? null : facts(order.image.version),
    ]);
    // Nothing is awaited between the look into the ledger and the entry in it: two orders of one epoch meet here.
    const last = ledger.of(order.node);
    const nodes = ledger.nodes(now());
    const grounds = { nodes, rules, facts: published, last, wipes: ledger.wipes, now: now(), limits };
    const { payload, entry } = judge(order, grounds);
    await (entry === null ? ledger.settled() : ledger.append(entry));
    return orderEnvelope(payload, key.id, await key.sign(signedBytes(payload)));
  }

  async standing(node: string): Promise<Standing> {
    const { ledger, consents, now } = this.#parts;
    const rules = await consents.current();
    await ledger.settled();
    const consent = wipeConsent(node, rules, ledger.wipes, now());
    return { epoch: ledger.of(node)?.epoch ?? 0, wipe: consent?.at ?? null };
  }
}

function wellFormed(asked: unknown): Order {
  const parsed = orderSchema.safeParse(asked);
  if (parsed.success) return parsed.data;
  throw new BootwaveError({
    code: 'ORDER_MALFORMED',
    what: 'what is to be signed is not an order',
    unchanged: 'nothing was signed',
    next: 'find out who wrote that into the database',
  });
}
