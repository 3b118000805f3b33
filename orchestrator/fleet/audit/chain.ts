import { hash } from 'node:crypto';

/**
 * The chain through the audit stream: each entry's hash is SHA-256 over the hash before it (32 bytes), its own number
 * (8 bytes, big-endian) and SHA-256 of its text (32 bytes). One hash therefore fixes everything before it.
 */
export type Link = {
  /** 1 for the first entry, without gaps. */
  seq: number;
  /** Lower-case hex, 64 digits. */
  hash: string;
};

/** What the first entry follows. */
export const GENESIS: Link = { seq: 0, hash: '0'.repeat(64) };

export function digestOf(text: string): string {
  return hash('sha256', text);
}

export function nextLink(before: Link, text: string): Link {
  return linkTo(before, digestOf(text));
}

/** @param digest SHA-256 of the entry's text, hex */
export function linkTo(before: Link, digest: string): Link {
  const seq = before.seq + 1;
  const message = Buffer.allocUnsafe(72);
  message.write(before.hash, 0, 'hex');
  message.writeBigUInt64BE(BigInt(seq), 32);
  message.write(digest, 40, 'hex');
  return { seq, hash: hash('sha256', message) };
}

/**
 * `link(hash, seq, digest)` for a Redis script (FIPS 180-4, 6.2), for entries whose place in the chain the writer
 * could not predict: Redis has no SHA-256. The message is always 72 bytes, hence the fixed padding; the entry itself
 * was hashed by the writer. 0.1 ms of Redis's time an entry, during which nobody else is served.
 */
export const LINK_LUA = `
local tobit, band, bxor, ror, rshift, tohex = bit.tobit, bit.band, bit.bxor, bit.ror, bit.rshift, bit.tohex
local K = {
  0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
  0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
  0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
  0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
  0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
  0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
  0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
  0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2}
local function link(hash, seq, digest)
  local message = hash .. string.format('%016x', seq) .. digest .. '80' .. string.rep('0', 106) .. '0240'
  local h = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19}
  for at = 1, 256, 128 do
    local w = {}
    for i = 1, 16 do w[i] = tonumber(string.sub(message, at + i * 8 - 8, at + i * 8 - 1), 16) end
    for i = 17, 64 do
      local x, y = w[i - 15], w[i - 2]
      w[i] = tobit(w[i - 16] + bxor(ror(x, 7), ror(x, 18), rshift(x, 3)) + w[i - 7]
        + bxor(ror(y, 17), ror(y, 19), rshift(y, 10)))
    end
    local a, b, c, d, e, f, g, k = unpack(h)
    for i = 1, 64 do
      local t = k + bxor(ror(e, 6), ror(e, 11), ror(e, 25)) + bxor(g, band(e, bxor(f, g))) + K[i] + w[i]
      local u = bxor(ror(a, 2), ror(a, 13), ror(a, 22)) + bxor(band(a, b), band(c, bxor(a, b)))
      k, g, f, e, d, c, b, a = g, f, e, tobit(d + t), c, b, a, tobit(t + u)
    end
    for i, v in ipairs({a, b, c, d, e, f, g, k}) do h[i] = tobit(h[i] + v) end
  end
  for i = 1, 8 do h[i] = tohex(h[i]) end
  return table.concat(h)
end
`;

/** An entry as it is in the stream or in an exported file; null for a missing one. */
export type Item = { key: string; text: string | null; seq: number | null; hash: string | null };

export type Fault = {
  /** Number of the first entry that does not fit. */
  seq: number;
  /** Its place in the stream, where it has one. */
  key?: string;
  kind: 'changed' | 'missing' | 'misplaced' | 'unchained' | 'cut' | 'rewritten' | 'forged';
  what: string;
};

/** Walks the chain forward from a known link; the first fault ends it. */
export class ChainCheck {
  #last: Link;

  constructor(from: Link = GENESIS) {
    this.#last = from;
  }

  /** The newest entry that fits. */
  get last(): Link {
    return this.#last;
  }

  next(item: Item): Fault | null {
    const seq = this.#last.seq + 1;
    const fault = (kind: Fault['kind'], what: string): Fault => ({ seq, key: item.key, kind, what });
    if (item.text === null || item.seq === null || item.hash === null)
      return fault('unchained', `an entry without number and hash stands where entry ${seq} should`);
    if (item.seq > seq) {
      const last = item.seq - 1;
      return fault(
        'missing',
        last === seq ? `entry ${seq} is missing` : `entries ${seq} to ${last} are missing`,
      );
    }
    if (item.seq < seq)
      return fault('misplaced', `entry ${item.seq} stands where entry ${seq} should: inserted or reordered`);
    const link = nextLink(this.#last, item.text);
    if (link.hash !== item.hash)
      return fault('changed', `entry ${seq} is not what was written, or follows another one than it did`);
    this.#last = link;
    return null;
  }
}
