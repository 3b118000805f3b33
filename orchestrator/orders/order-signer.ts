import type { Order, OrderEnvelope } from '../../protocol/order.ts';

/** What the orchestrator sees of whoever signs. */
export type OrderSigner = {
  /**
   * Signs an order when this machine's own disk bears it out. Asked again for the same order, the same envelope comes.
   * @throws BootwaveError `SIGNER_*`, `ORDER_*`
   */
  sign(order: Order): Promise<OrderEnvelope>;
  standing(node: string): Promise<Standing>;
};

export type Standing = {
  /** The highest that was signed for the node; 0: none. */
  epoch: number;
  /** When a person said that its disk may be wiped, milliseconds since the epoch; null: nobody, or it does not hold any more. */
  wipe: number | null;
};
