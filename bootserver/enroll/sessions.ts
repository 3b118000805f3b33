import { BootwaveError, refusal } from '../../base/error.ts';
import { sha256 } from '../../formats/digest.ts';
import { SECRET_BYTES } from '../../formats/tpm/credential.ts';
import { LIMITS } from '../../protocol/enrolment/messages.ts';
import type { Words } from '../../protocol/enrolment/words.ts';
import { Crowd } from './crowd.ts';
import type { FixedKeys } from './fixed-keys.ts';

type Stage =
  | { name: 'started' }
  | { name: 'keyed'; keys: FixedKeys; bytes: number; secret: Buffer | null; number: number }
  /** The nonce is spent, whatever the proof turns out to be. */
  | { name: 'spent' }
  | { name: 'proven'; keys: ProvenKeys; words: Words };

type Session = { id: string; address: string; nonce: Buffer; startedAt: number; stage: Stage };

/** The inventory is the fleet's by then, and a session lives for a day. */
export type ProvenKeys = Pick<FixedKeys, 'id' | 'csr'>;

export type ProvenSession = { keys: ProvenKeys; words: Words };

/** Injected, so that the rules can be tested without waiting. */
export type SessionEnvironment = {
  /** Milliseconds since the epoch. */
  now: () => number;
  random: (bytes: number) => Buffer;
};

/** See `LIMITS` in protocol.ts. */
export type SessionLimits = {
  sessions: number;
  keyedSessions: number;
  provenSessions: number;
  sessionsPerAddress: number;
  sessionBytes: number;
  proofWithin: number;
  sessionLife: number;
};

const unknown = (): BootwaveError =>
  refusal(
    'SESSION_UNKNOWN',
    'this enrolment session does not exist or has expired',
    'start the enrolment again',
  );

const outOfTurn = (what: string): BootwaveError =>
  new BootwaveError({ code: 'SESSION_OUT_OF_TURN', what, next: 'start the enrolment again' });

/**
 * Enrolment dialogues under way, in memory only: a restart of the server forgets them and every node starts anew.
 * Insertion order is age, because a session is inserted once. A machine is through with its proof within seconds, and what
 * it needs until then is small: there is room for more of them than can be started in that time, whoever starts them.
 */
export class Sessions {
  readonly #environment: SessionEnvironment;
  readonly #limits: SessionLimits;
  readonly #unproven = new Map<string, Session>();
  readonly #proven = new Map<string, Session>();
  readonly #started: Crowd;
  /** Unproven sessions that hold what a machine sent about itself, which may be large. */
  readonly #keyed: Crowd;
  readonly #waiting: Crowd;
  /** Bytes of what the keyed ones hold. */
  #held = 0;

  constructor(environment: SessionEnvironment, limits: Partial<SessionLimits> = {}) {
    this.#environment = environment;
    this.#limits = { ...LIMITS, ...limits };
    const pick = (below: number) => environment.random(4).readUInt32BE() % below;
    [this.#started, this.#keyed, this.#waiting] = [new Crowd(pick), new Crowd(pick), new Crowd(pick)];
  }

  get size(): number {
    return this.#unproven.size + this.#proven.size;
  }

  /** Never refused: a machine that loses its session to make room starts again by itself. */
  start(address: string): { session: string; commitment: string } {
    this.#sweep();
    const own = this.#started.of(address);
    if (own.count >= this.#limits.sessionsPerAddress) this.#forget(own.oldest);
    else if (this.#unproven.size >= this.#limits.sessions) this.#forget(this.#started.victim());
    const session: Session = {
      id: this.#environment.random(16).toString('hex'),
      address,
      nonce: this.#environment.random(32),
      startedAt: this.#environment.now(),
      stage: { name: 'started' },
    };
    this.#unproven.set(session.id, session);
    this.#started.add(session.id, address);
    return { session: session.id, commitment: sha256(session.nonce).toString('hex') };
  }

  /** @throws BootwaveError unless the session is there and its keys are still to come */
  mustWait(id: string): Session {
    const session = this.#find(id);
    if (session.stage.name !== 'started') throw outOfTurn('the keys of this session are already fixed');
    return session;
  }

  /**
   * Fixes the keys, once, and only then reveals the nonce.
   * @param number of the nonce, from the fleet, taken before the nonce is shown
   * @param bytes that the inventory takes up
   * @returns `secret` to be wrapped for the TPM that was named; null without a TPM
   */
  fix(id: string, keys: FixedKeys, number: number, bytes: number): { nonce: Buffer; secret: Buffer | null } {
    const session = this.mustWait(id);
    const secret = keys.tpm === null ? null : this.#environment.random(SECRET_BYTES);
    if (this.#keyed.size >= this.#limits.keyedSessions) this.#forget(this.#keyed.victim());
    while (this.#keyed.size > 0 && this.#held + bytes > this.#limits.sessionBytes)
      this.#forget(this.#keyed.victim());
    session.stage = { name: 'keyed', keys, bytes, secret, number };
    this.#held += bytes;
    this.#keyed.add(id, session.address);
    return { nonce: session.nonce, secret };
  }

  /** Uses up the nonce and the secret: after this no second proof is accepted for them. */
  spend(id: string): { keys: FixedKeys; nonce: Buffer; secret: Buffer | null; number: number } {
    const session = this.#find(id);
    if (session.stage.name === 'started') throw outOfTurn('no keys were fixed in this session');
    if (session.stage.name !== 'keyed') {
      throw refusal('NONCE_SPENT', 'the nonce of this session was already used', 'start the enrolment again');
    }
    const { keys, bytes, secret, number } = session.stage;
    this.#held -= bytes;
    session.stage = { name: 'spent' };
    return { keys, nonce: session.nonce, secret, number };
  }

  prove(id: string, words: Words, keys: ProvenKeys): void {
    const session = this.#find(id);
    this.#forget(id);
    if (this.#proven.size >= this.#limits.provenSessions) this.#forget(this.#waiting.victim());
    session.stage = { name: 'proven', keys, words };
    this.#proven.set(id, session);
    this.#waiting.add(id, session.address);
  }

  drop(id: string): void {
    this.#forget(id);
  }

  proven(id: string): ProvenSession {
    const { stage } = this.#find(id);
    if (stage.name !== 'proven') throw outOfTurn('this session has no valid proof yet');
    return stage;
  }

  #expired(session: Session): boolean {
    const life = session.stage.name === 'proven' ? this.#limits.sessionLife : this.#limits.proofWithin;
    return this.#environment.now() - session.startedAt >= life;
  }

  #find(id: string): Session {
    const session = this.#unproven.get(id) ?? this.#proven.get(id);
    if (session === undefined || this.#expired(session)) throw unknown();
    return session;
  }

  #forget(id: string | undefined): void {
    if (id === undefined) return;
    const stage = this.#unproven.get(id)?.stage;
    if (stage?.name === 'keyed') this.#held -= stage.bytes;
    this.#unproven.delete(id);
    this.#proven.delete(id);
    for (const crowd of [this.#started, this.#keyed, this.#waiting]) crowd.delete(id);
  }

  /** The oldest come first; the one that was just proved may be behind one that started later. */
  #sweep(): void {
    for (const sessions of [this.#unproven, this.#proven])
      for (const session of sessions.values()) {
        if (!this.#expired(session)) break;
        this.#forget(session.id);
      }
  }
}
