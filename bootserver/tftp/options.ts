/** What client and server agree on before the first block: RFC 2348 (blksize), 2349 (timeout, tsize), 7440 (windowsize). */
import type { Option } from './packet.ts';

export type TftpLimits = {
  /** Largest block, bytes. 1468 fills an Ethernet frame; more would be fragmented, and firmware loses fragments. */
  blockSize: number;
  /** Largest window, blocks (RFC 7440). */
  windowSize: number;
  /** Milliseconds until the first retransmission where the client names no timeout; doubles each time. */
  wait: number;
  /** Milliseconds that doubling stops at. */
  longestWait: number;
  /** Retransmissions without any progress before the transfer is given up. */
  retries: number;
  /** Milliseconds that one transfer may take altogether. */
  transferLife: number;
  /** Transfers at once, all clients together. */
  transfers: number;
  /** Transfers at once for one client address. */
  transfersOfOne: number;
  /**
   * How many of these may be transfers without any acknowledgement yet: a request costs a stranger only one datagram.
   */
  unheardOfOne: number;
  /** Milliseconds without progress after which a transfer makes room when there is none. */
  idle: number;
};

export const TFTP_LIMITS: TftpLimits = {
  blockSize: 1468,
  windowSize: 64,
  wait: 1000,
  longestWait: 8000,
  retries: 5,
  transferLife: 15 * 60_000,
  transfers: 2048,
  transfersOfOne: 16,
  unheardOfOne: 8,
  idle: 5000,
};

export type Terms = {
  /** Bytes of every block but the last. */
  blockSize: number;
  /** Blocks sent before an acknowledgement is awaited. */
  windowSize: number;
  /** Milliseconds until the first retransmission. */
  wait: number;
  /** What the option acknowledgement says; empty means that none is sent and data starts at once. */
  agreed: readonly Option[];
};

/** RFC 1350: without options. */
const PLAIN_BLOCK = 512;

/**
 * Unknown options and values out of range are left out of the answer, which declines them (RFC 2347). A value above
 * our limit is answered with the limit where the RFC allows it; a timeout has to be repeated as it was asked.
 * @param size bytes of the file, the answer to tsize
 */
export function negotiate(asked: readonly Option[], size: number, limits: TftpLimits): Terms {
  let terms: Terms = { blockSize: PLAIN_BLOCK, windowSize: 1, wait: limits.wait, agreed: [] };
  const seen = new Set<string>();
  for (const [spelled, text] of asked) {
    const name = spelled.toLowerCase();
    const value = /^\d{1,10}$/.test(text) ? Number(text) : undefined;
    if (value === undefined || seen.has(name)) continue;
    seen.add(name);
    const agree = (answer: number, change: Partial<Terms> = {}) => {
      terms = { ...terms, ...change, agreed: [...terms.agreed, [spelled, String(answer)]] };
    };
    if (name === 'blksize' && value >= 8) {
      const blockSize = Math.min(value, limits.blockSize);
      agree(blockSize, { blockSize });
    } else if (name === 'windowsize' && value >= 1) {
      const windowSize = Math.min(value, limits.windowSize);
      agree(windowSize, { windowSize });
    } else if (name === 'timeout' && value >= 1 && value <= 255) {
      agree(value, { wait: value * 1000 });
    } else if (name === 'tsize') {
      agree(size);
    }
  }
  return terms;
}
