import type { Redis } from 'ioredis';
import type { TpmClock } from '../../protocol/enrolment/messages.ts';
import { KEYS } from './keys.ts';
import { script } from './script.ts';

/**
 * A TPM never counts backwards: resetCount and restartCount rise with every reset and restart, Clock runs on in
 * between (TPM 2.0 Part 1, 36.3 "Clock", 36.4 "resetCount", 36.5 "restartCount"). So a machine that shows an AK with
 * lower counters than before is a copy of that TPM's state, or the TPM that was copied. TPM2_Clear sets the counters
 * back as well (Part 3, 24.6), and erases what the TPM keeps for its node: neither may be ignored. The counters are the
 * true ones: they are obfuscated only for keys of other hierarchies (Part 1, 36.7).
 * @returns what went back; null: nothing did
 */
export function wentBack(before: TpmClock | null, now: TpmClock): string | null {
  if (before === null) return null;
  if (now.resets !== before.resets) {
    return now.resets > before.resets ? null : `resets ${now.resets} after ${before.resets}`;
  }
  if (now.restarts !== before.restarts) {
    return now.restarts > before.restarts ? null : `restarts ${now.restarts} after ${before.restarts}`;
  }
  return now.milliseconds >= before.milliseconds
    ? null
    : `clock ${now.milliseconds} ms after ${before.milliseconds} ms`;
}

/** The counters of a proof, compared with those that its key has shown before. */
export type Turn =
  /** The newest that this key has shown; they are stored. */
  | { kind: 'newest' }
  /** The nonce was issued before a newer proof was accepted: the message was delayed. Says nothing about a copy. */
  | { kind: 'late' }
  /** The nonce was issued when higher counters were known already. */
  | { kind: 'back'; what: string };

/**
 * Compares and keeps in one step: of two machines that attest in the same moment one sees the other. Beside the
 * counters the number of the newest nonce issued by then is stored: a proof over a later nonce was made after them,
 * whenever it arrives; any other proof may have been made before.
 */
const advanceScript = script<string[]>(`
local function read(text)
  local resets, restarts, ms, given = string.match(text or '', '^(%d+) (%d+) (%d+) ?(%d*)$')
  return resets, restarts, ms, tonumber(given) or 0
end
local given = redis.call('GET', KEYS[2]) or '0'
local kept = redis.call('HGET', KEYS[1], ARGV[1])
local resets, restarts, ms, known = read(kept or ARGV[6])
if resets then
  local back = tonumber(ARGV[2]) - tonumber(resets)
  if back == 0 then back = tonumber(ARGV[3]) - tonumber(restarts) end
  if back == 0 then back = tonumber(ARGV[4]) - tonumber(ms) end
  if back < 0 then
    if tonumber(ARGV[5]) <= known then return {'late'} end
    return {'back', resets, restarts, ms}
  end
end
redis.call('HSET', KEYS[1], ARGV[1], table.concat({ARGV[2], ARGV[3], ARGV[4], given}, ' '))
return {'newest'}
`);

/** The counters that each attestation key has shown last, and the numbers of the nonces that proofs are made over. */
export class TpmClocks {
  readonly #redis: Redis;

  constructor(redis: Redis) {
    this.#redis = redis;
  }

  /** A number for a nonce that is about to be issued: higher than that of every nonce before, of all servers. */
  number(): Promise<number> {
    return this.#redis.incr(KEYS.nonces);
  }

  /**
   * @param nonce number of the nonce that was proved
   * @param record counters on record, for a key that is not stored here
   */
  async advance(akName: string, now: TpmClock, nonce: number, record: TpmClock | null): Promise<Turn> {
    const on = record === null ? '' : textOf(record);
    const args = [akName, ...textOf(now).split(' '), String(nonce), on];
    const [kind, ...was] = await advanceScript(this.#redis, [KEYS.clocks, KEYS.nonces], args);
    if (kind !== 'back') return { kind: kind === 'late' ? 'late' : 'newest' };
    const [resets = 0, restarts = 0, milliseconds = 0] = was.map(Number);
    const what = wentBack({ resets, restarts, milliseconds, safe: true }, now);
    return { kind: 'back', what: what ?? 'counters of a TPM' };
  }

  /** From now on these counters count for this key: a person has looked at it, or will. */
  async begin(akName: string, now: TpmClock): Promise<void> {
    const given = (await this.#redis.get(KEYS.nonces)) ?? '0';
    await this.#redis.hset(KEYS.clocks, akName, `${textOf(now)} ${given}`);
  }
}

const textOf = ({ resets, restarts, milliseconds }: TpmClock): string =>
  [resets, restarts, milliseconds].map(String).join(' ');
