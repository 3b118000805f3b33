import type { HardwareTold } from '../../protocol/enrolment/heartbeat.ts';

/**
 * What this server has seen of a node itself, at the moment at which it saw it: proved by the node's TPM, or by a certificate
 * that this fleet gave it. Recovery rests on nothing else, because whoever owns Redis can write anything there.
 */
export type Sight = {
  /** Record id. */
  node: string;
  /** Milliseconds since the epoch. */
  at: number;
} & (
  | { kind: 'boot'; bootId: string }
  | { kind: 'proof' }
  /** `hardware`: what it says of itself; null: nothing. */
  | { kind: 'beat'; bootId: string; healthy: boolean; reason: string; hardware: HardwareTold | null }
  /** It was refused. `image` that it had booted, where that is known. */
  | { kind: 'caught'; code: string; what: string; image?: string }
);

export type Saw = (sight: Sight) => void;
