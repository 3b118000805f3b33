import type { Remembered } from '../../../protocol/agent/machine.ts';
import type { OrderBook } from './order-book.ts';
import { UNKNOWN, type Vitals } from './vitals.ts';

/** What the member knows at this moment; its parts read it when they need it. */
export type Known = {
  /** Id of its record; empty until the fleet has approved it. */
  node: string;
  vitals: Vitals;
  /** PCR 11 as it was quoted when this boot enrolled. */
  pcr11: string | null;
  /** URL below which the boot server has its images. */
  images: string | null;
  book: OrderBook | null;
  /** What the TPM remembers of orders. */
  guard: Remembered | null;
  /** Who near this node has a file, by its SHA-256: what the orchestrator said last, forgotten with this process. */
  mirrors: ReadonlyMap<string, readonly string[]>;
};

export const NOTHING_KNOWN: Known = {
  ...{ node: '', vitals: UNKNOWN, pcr11: null, images: null },
  ...{ book: null, guard: null, mirrors: new Map() },
};
