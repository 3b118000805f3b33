import type { Redis } from 'ioredis';
import type { TpmClock } from '../../protocol/enrolment/messages.ts';
import { KEYS } from './keys.ts';
import { script } from './script.ts';

/**
 * A TPM never counts backwards: resetCount and restartCount rise with every reset and restart, Clock runs on in between
 * (TPM 2.0 Part 1, 36.3 "Clock", 36.4 "resetCount", 36.5 "restartCount"). So whoever shows an AK with lower counters than
 * it showed before is a copy of that TPM's state, or the TPM that was copied. TPM2_Clear sets the counters back as well
 * (Part 3, 24.6), and takes along what the TPM keeps for its node: neither is a thing to pass over. The counters are the
 * true ones: they are obfuscated for keys of other hierarchies only (Part 1, 36.7).
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

/** Compares and keeps in one step: of two machines that attest in the same moment one sees the other. */
const advanceScript = script<string[]>(`
local was = redis.call('HGET', KEYS[1], ARGV[1])
if was then
  local resets, restarts, ms = string.match(was, '^(%d+) (%d+) (%d+)$')
  local back = tonumber(ARGV[2]) - tonumber(resets)
  if back == 0 then back = tonumber(ARGV[3]) - tonumber(restarts) end
  if back == 0 then back = tonumber(ARGV[4]) - tonumber(ms) end
  if back < 0 then return {resets, restarts, ms} end
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ' ' .. ARGV[3] .. ' ' .. ARGV[4])
return {}
`);

/** The counters that each attestation key has shown last. */
export class TpmClocks {
  readonly #redis: Redis;

  constructor(redis: Redis) {
    this.#redis = redis;
  }

  /** @returns what went back, and nothing is kept; null: it did not, and these count from now on */
  async advance(akName: string, now: TpmClock): Promise<string | null> {
    const { resets, restarts, milliseconds } = now;
    const args = [akName, ...[resets, restarts, milliseconds].map(String)];
    const was = (await advanceScript(this.#redis, [KEYS.clocks], args)).map(Number);
    if (was.length === 0) return null;
    return wentBack({ resets: was[0]!, restarts: was[1]!, milliseconds: was[2]!, safe: true }, now);
  }

  /** Whoever comes back with this key begins anew: a person has looked at it. */
  async forget(akName: string): Promise<void> {
    await this.#redis.hdel(KEYS.clocks, akName);
  }
}
