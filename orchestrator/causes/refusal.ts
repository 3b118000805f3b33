/** What a refusal of an order is about, by its code: the node, the change, or something else. */

export type Blame =
  /** The orders' time: a clock is wrong, the node's or ours. */
  | 'clock'
  /** The fleet's own rules forbid it, as the signer says: asking another node changes nothing. */
  | 'rules'
  /** The node does not obey it: a key that its image does not know, a floor in its TPM. Others may. */
  | 'order'
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
  'SERVICE_UNREACHABLE',
  'SERVICE_SOURCE',
  'SERVICE_SLOW',
];
const HARDWARE: readonly string[] = [
  'STAGE_NO_SPACE',
  'ESP_BROKEN',
  'DISK_FACTS',
  'DISK_BUSY',
  'INSTALL_DISK_ODD',
  'INSTALL_DISKS_AMBIGUOUS',
  'TPM_NV',
  'TPM_BANK',
  'HELPER_UNREACHABLE',
  'SERVICE_NO_SPACE',
  'SERVICE_BUNDLE_STORE',
  'SERVICE_STATE_SPACE',
  'SERVICE_STATE_QUOTA',
  'SERVICE_STATE_ABSENT',
  'SERVICE_NO_PLACE',
];

/** @param code of the signer, or of our own check before it */
export function blameOfSigner(code: string): Blame {
  if (CLOCK.includes(code)) return 'clock';
  // Other code handles epochs; any other fault of an order is the same for every node.
  return code === 'SIGNER_EPOCH_JUMP' ? 'number' : 'rules';
}

/** @param code as a node sent it: it may be any text, and speaks for that node only */
export function blameOfNode(code: string): Blame {
  if (CLOCK.includes(code)) return 'clock';
  if (code.startsWith('ORDER_')) return 'order';
  if (FETCH.includes(code)) return 'fetch';
  return HARDWARE.includes(code) ? 'hardware' : 'change';
}

/**
 * Nodes that refuse orders for the same reason, out of those that got any order. @returns whether the reason is ours: one
 * node alone has a wrong clock, a full disk or a lie of its own
 */
export function isOurs(refuse: number, accept: number): boolean {
  return refuse >= 2 && refuse > accept;
}
