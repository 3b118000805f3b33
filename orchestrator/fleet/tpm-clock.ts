import type { Redis } from 'ioredis';
import type { TpmClock } from '../../protocol/enrolment/enrolment.ts';
import { KEYS } from './keys.ts';
import { script } from './script.ts';
import { isSealing, sealed, unsealed } from './server-seal.ts';

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

/** Counters as they are kept. */
type Known = Pick<TpmClock, 'resets' | 'restarts' | 'milliseconds'> & {
  /** Number of the newest nonce issued by then: a proof over a later one was made after them, whenever it arrives. */
  given: number;
  /** When these counters began anew, and when they were shown; milliseconds since the epoch. */
  begun: number;
  at: number;
};

/** Of two machines that attest in the same moment at two servers one sees the other. */
const replaceScript = script<number>(`
if (redis.call('HGET', KEYS[1], ARGV[1]) or '') ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1
`);

/** Numbers of nonces above this are no numbers of ours. */
const MOST_NONCES = 2 ** 52;
/** Keys whose counters one process remembers; the one that was heard longest ago is forgotten first. */
const MOST_OWN = 100_000;
const ROUNDS = 5;

/**
 * The counters that each attestation key has shown last, and the numbers of the nonces that proofs are made over. Each server
 * goes by what it has seen itself, and by what other servers have sealed in Redis.
 */
export class TpmClocks {
  readonly #redis: Redis;
  readonly #own = new Map<string, Known>();
  /** The highest number of a nonce that this process has issued or heard of. */
  #newest = 0;

  constructor(redis: Redis) {
    this.#redis = redis;
  }

  /** A number for a nonce that is about to be issued: higher than that of every nonce before, of all servers. */
  async number(): Promise<number> {
    const number = await this.#redis.incr(KEYS.nonces);
    // Redis may have been set back.
    this.#newest = number > this.#newest && number <= MOST_NONCES ? number : this.#newest + 1;
    return this.#newest;
  }

  /**
   * @param nonce number of the nonce that was proved
   * @param record counters on record, for a key that is not stored; a server that has keys does not ask it
   * @param since counters that were shown before count no more, milliseconds since the epoch
   */
  async advance(
    akName: string,
    now: TpmClock,
    nonce: number,
    record: TpmClock | null,
    since = 0,
  ): Promise<Turn> {
    for (let round = 0; round < ROUNDS; round += 1) {
      const [value, given] = await Promise.all([this.#redis.hget(KEYS.clocks, akName), this.#given()]);
      const shared = value === null ? null : this.#read(akName, value);
      const on = shared === null && !isSealing(this.#redis) ? recorded(record) : shared;
      const own = this.#own.get(akName) ?? null;
      const begun = Math.max(own?.begun ?? 0, on?.begun ?? 0);
      const known = [own, on].filter((one) => one !== null && one.at >= since && one.begun === begun);
      const turn = turnOf(known as Known[], now, nonce);
      if (turn.kind !== 'newest') return turn;
      const next = this.#remember(akName, { ...now, given, begun, at: Date.now() });
      if ((await replaceScript(this.#redis, [KEYS.clocks], [akName, value ?? '', next])) === 1) break;
    }
    return { kind: 'newest' };
  }

  /** From now on these counters count for this key: a person has looked at it, or will. */
  async begin(akName: string, now: TpmClock): Promise<void> {
    const at = Date.now();
    const next = this.#remember(akName, { ...now, given: await this.#given(), begun: at, at });
    await this.#redis.hset(KEYS.clocks, akName, next);
  }

  /** How often this key's TPM had been reset when servers of this fleet saw it last; null: none of them knows. */
  async resets(akName: string): Promise<number | null> {
    const value = await this.#redis.hget(KEYS.clocks, akName);
    const shared = value === null || !isSealing(this.#redis) ? null : this.#read(akName, value);
    const known = [this.#own.get(akName), shared].flatMap((one) => one?.resets ?? []);
    return known.length === 0 ? null : Math.max(...known);
  }

  async #given(): Promise<number> {
    const given = Number(await this.#redis.get(KEYS.nonces));
    if (given > this.#newest && given <= MOST_NONCES) this.#newest = given;
    return this.#newest;
  }

  /** @returns as it is kept in Redis */
  #remember(akName: string, known: Known): string {
    this.#own.delete(akName);
    this.#own.set(akName, known);
    for (const oldest of this.#own.keys()) {
      if (this.#own.size <= MOST_OWN) break;
      this.#own.delete(oldest);
    }
    const { resets, restarts, milliseconds, given, begun, at } = known;
    const text = [resets, restarts, milliseconds, given, begun, at].map(String).join(' ');
    return sealed(this.#redis, aboutOf(akName), text);
  }

  /** Null: no server of this fleet has written that. */
  #read(akName: string, value: string): Known | null {
    const text = unsealed(this.#redis, aboutOf(akName), value) ?? '';
    // Of versions before there are three or four numbers.
    if (!/^\d{1,16}(?: \d{1,16}){2,5}$/.test(text)) return null;
    const [resets = 0, restarts = 0, milliseconds = 0, given = 0, begun = 0, at = Number.MAX_SAFE_INTEGER] =
      text.split(' ').map(Number);
    return { resets, restarts, milliseconds, given, begun, at };
  }
}

const aboutOf = (akName: string): string => `${KEYS.clocks} ${akName}`;

const recorded = (record: TpmClock | null): Known | null =>
  record && { ...record, given: 0, begun: 0, at: Number.MAX_SAFE_INTEGER };

function turnOf(known: readonly Known[], now: TpmClock, nonce: number): Turn {
  let isLate = false;
  for (const { given, begun: _, at: __, ...before } of known) {
    const what = wentBack({ ...before, safe: true }, now);
    if (what !== null && nonce > given) return { kind: 'back', what };
    isLate ||= what !== null;
  }
  return { kind: isLate ? 'late' : 'newest' };
}
