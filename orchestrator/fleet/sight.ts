import type { HardwareTold } from '../../protocol/enrolment/heartbeat.ts';

/**
 * What this server has seen of a node itself, at the moment at which it saw it: proved by the node's TPM, by a certificate
 * that this fleet gave it, or by the key of a system that people let speak (recovery/webhooks.ts). Recovery rests on nothing else, because whoever owns Redis can write anything there.
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
  /** A system outside that people trust has said so. `weight`: how often that counts as said. */
  | { kind: 'reported'; says: 'broken' | 'suspected'; weight: number; text: string }
);

export type Saw = (sight: Sight) => void;
