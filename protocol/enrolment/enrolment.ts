import type { OrderEnvelope } from '../order-envelope.ts';
import type { FirmwareFacts } from './firmware-facts.ts';
import type { Inventory, Running } from './inventory.ts';

/** TPMS_CLOCK_INFO (TPM 2.0 Part 2, 10.11.1). */
export type TpmClock = {
  /** That the TPM was powered; approximate above 2^53. */
  milliseconds: number;
  /** TPM Resets and TPM Restarts since the TPM was last cleared. */
  resets: number;
  restarts: number;
  /** Whether no larger clock value was ever shown. */
  safe: boolean;
};

/** What the enrolment server hands to the fleet once the proof holds. */
export type Enrolment = {
  /** `tpm-<hex SHA-256 of the EK's TPMT_PUBLIC>`; without a TPM `dev-<hex SHA-256 of UUID, serial and MACs>`. */
  id: string;
  /** Hex SHA-256 of the EK's TPMT_PUBLIC; null without a TPM. */
  ekDigest: string | null;
  /** TPM name of the AK, hex; null without a TPM. The fleet refuses one that differs from the approved one. */
  akName: string | null;
  /** SHA-256 of the CSR's SubjectPublicKeyInfo, hex. */
  spkiDigest: string;
  hostKey: string;
  words: readonly [string, string, string, string];
  inventory: Inventory;
  running: Running;
  /** Whether the TPM's maker vouches for the EK, as far as the operator's roots say; null without a TPM. */
  ekCertificate: { verified: boolean; reason: string } | null;
  /** PCR values as quoted, null without a TPM. */
  pcrs: Readonly<Record<string, string>> | null;
  /** The TPM's own clock as quoted, null without a TPM. */
  clock: TpmClock | null;
  /** Number of the nonce that was proved, see `NodeDirectory.numberNonce`. */
  nonceNumber: number;
  /** What the replayed event log says of the firmware; null without one. */
  firmware: FirmwareFacts | null;
  token: string | null;
  /** Address it came from. */
  address: string;
  at: number;
};

export type EnrolmentDecision =
  | { state: 'pending' }
  | { state: 'approved'; name: string }
  | { state: 'held'; name: string; reason: string; order: OrderEnvelope | null; restart?: true }
  /** `restart`: nothing that this boot does can change it. */
  | { state: 'rejected'; reason: string; restart?: true };
