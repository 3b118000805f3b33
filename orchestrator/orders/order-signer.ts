import type { Order, OrderedService } from '../../protocol/order.ts';
import type { OrderEnvelope } from '../../protocol/order-envelope.ts';

/** The orchestrator's view of the signer. */
export type OrderSigner = {
  /**
   * Signs an order if this machine's own disk permits it. Asked again for the same order, it returns the same envelope.
   * @param shown an envelope that another server's signer may have made for the node, JSON; believed if it bears the fleet's key
   * @throws BootwaveError `SIGNER_*`, `ORDER_*`
   */
  sign(order: Order, shown?: string): Promise<OrderEnvelope>;
  /** @param shown as for `sign`: where it is newer than what this signer has signed, it is what counts */
  standing(node: string, shown?: string): Promise<Standing>;
  /** Remembers what another server has signed for the node, if it is newer than what is known; anything else is ignored. */
  learn(node: string, shown: string): Promise<void>;
};

export type Standing = {
  /** The highest that was signed for the node; 0: none. */
  epoch: number;
  /** SHA-256 of its payload; absent: none was signed. */
  digest?: string;
  /**
   * When a person consented that its disk may be wiped, milliseconds since the epoch; null: nobody did, or the consent
   * has ended.
   */
  wipe: number | null;
  /** The configuration that was signed for it last, null: none. Absent: not known here. */
  config?: string | null;
  /** The services that were signed for it last. Absent: not known here. */
  services?: readonly OrderedService[];
  /** Whether that order restrains what people have decided, and nothing else (fleet/decisions/restraints.ts). Absent: none was signed. */
  isRestrained?: boolean;
  /** The same of what is reserved from now on (fleet/decisions/reservations.ts). */
  isReserved?: boolean;
  /** The same of the rescue of its incident (fleet/decisions/incidents.ts). */
  isRescued?: boolean;
};
