/** What a refusal of an order is about, by its code: the node, the change, or something else. */

export type Blame =
  /** The orders' time: a clock is wrong, the node's or ours. */
  | 'clock'
  /** The fleet's own rules forbid it: asking another node changes nothing. */
  | 'rules'
  /** The signer refuses the order's epoch as impossible: the database is ahead of all that was ever signed. */
  | 'number'
  /** The node cannot fetch it. */
  | 'fetch'
  /** The node's own: its disk, its TPM, its helper. */
  | 'hardware'
  /** Nobody knows better. */
  | 'change';

const CLOCK: readonly string[] = ['ORDER_FROM_FUTURE', 'ORDER_EXPIRED', 'SIGNER_TIME'];
const FETCH: readonly string[] = [
  'STAGE_UNREACHABLE',
  'STAGE_SOURCE',
  'STAGE_NOT_FETCHED',
  'SERVER_UNREACHABLE',
  'SERVER_ANSWER',
  'SERVER_NOT_TRUSTED',
];
const HARDWARE: readonly string[] = [
  'STAGE_NO_SPACE',
  'ESP_BROKEN',
  'DISK_FACTS',
  'DISK_BUSY',
  'TPM_NV',
  'TPM_BANK',
  'HELPER_UNREACHABLE',
];

export function blameOf(code: string): Blame {
  if (CLOCK.includes(code)) return 'clock';
  if (code === 'SIGNER_EPOCH_JUMP') return 'number';
  // Other code handles epochs; any other fault of an order is the same for every node.
  if (code.startsWith('SIGNER_') || code.startsWith('ORDER_')) return 'rules';
  if (FETCH.includes(code)) return 'fetch';
  return HARDWARE.includes(code) ? 'hardware' : 'change';
}

/** Nodes that refuse orders because of their time, out of those that got any order. @returns whose clock is wrong */
export function clockOf(refuse: number, accept: number): 'own-clock' | 'node-clock' {
  return refuse >= 2 && refuse > accept ? 'own-clock' : 'node-clock';
}
