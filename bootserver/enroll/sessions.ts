import { BootwaveError } from '../../base/error.ts';
import { sha256 } from '../../formats/digest.ts';
import { SECRET_BYTES } from '../../formats/tpm/credential.ts';
import { LIMITS } from '../../protocol/enrolment/messages.ts';
import type { Words } from '../../protocol/enrolment/words.ts';
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
  sessionsPerAddress: number;
  sessionBytes: number;
  proofWithin: number;
  sessionLife: number;
};

const unknown = (): BootwaveError =>
  new BootwaveError({
    code: 'SESSION_UNKNOWN',
    what: 'this enrolment session does not exist or has expired',
    unchanged: 'nothing was changed',
    next: 'start the enrolment again',
  });

const outOfTurn = (what: string): BootwaveError =>
  new BootwaveError({ code: 'SESSION_OUT_OF_TURN', what, next: 'start the enrolment again' });

/**
 * Enrolment dialogues under way, in memory only: a restart of the server forgets them and every node starts anew.
 * Insertion order is age, because a session is inserted once.
 */
export class Sessions {
  readonly #environment: SessionEnvironment;
  readonly #limits: SessionLimits;
  readonly #sessions = new Map<string, Session>();

  constructor(environment: SessionEnvironment, limits: Partial<SessionLimits> = {}) {
    this.#environment = environment;
    this.#limits = { ...LIMITS, ...limits };
  }

  get size(): number {
    return this.#sessions.size;
  }

  /** Never refused: whoever loses a session to make room starts anew by itself. */
  start(address: string): { session: string; commitment: string } {
    this.#sweep();
    this.#makeRoom(address);
    const session: Session = {
      id: this.#environment.random(16).toString('hex'),
      address,
      nonce: this.#environment.random(32),
      startedAt: this.#environment.now(),
      stage: { name: 'started' },
    };
    this.#sessions.set(session.id, session);
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
  fix(id: string, keys: FixedKeys, number: number, bytes = 0): { nonce: Buffer; secret: Buffer | null } {
    const session = this.mustWait(id);
    const secret = keys.tpm === null ? null : this.#environment.random(SECRET_BYTES);
    this.#makeRoomFor(bytes);
    session.stage = { name: 'keyed', keys, bytes, secret, number };
    return { nonce: session.nonce, secret };
  }

  /** Spends the nonce and the secret: whatever follows, no second proof is read for them. */
  spend(id: string): { keys: FixedKeys; nonce: Buffer; secret: Buffer | null; number: number } {
    const session = this.#find(id);
    if (session.stage.name === 'started') throw outOfTurn('no keys were fixed in this session');
    if (session.stage.name !== 'keyed') {
      throw new BootwaveError({
        code: 'NONCE_SPENT',
        what: 'the nonce of this session was already used',
        unchanged: 'nothing was changed',
        next: 'start the enrolment again',
      });
    }
    const { keys, secret, number } = session.stage;
    session.stage = { name: 'spent' };
    return { keys, nonce: session.nonce, secret, number };
  }

  prove(id: string, words: Words, keys: ProvenKeys): void {
    this.#find(id).stage = { name: 'proven', keys, words };
  }

  drop(id: string): void {
    this.#sessions.delete(id);
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
    const session = this.#sessions.get(id);
    if (session === undefined || this.#expired(session)) throw unknown();
    return session;
  }

  #sweep(): void {
    for (const session of this.#sessions.values()) {
      if (this.#expired(session)) this.#sessions.delete(session.id);
    }
  }

  #makeRoom(address: string): void {
    const unproven = [...this.#sessions.values()].filter((session) => session.stage.name !== 'proven');
    const own = unproven.filter((session) => session.address === address);
    if (own.length >= this.#limits.sessionsPerAddress) this.drop(own[0]!.id);
    else if (this.#sessions.size >= this.#limits.sessions) this.drop((unproven[0] ?? this.#heaviest()).id);
  }

  #makeRoomFor(bytes: number): void {
    let held = bytes;
    for (const { stage } of this.#sessions.values()) if (stage.name === 'keyed') held += stage.bytes;
    for (const { id, stage } of this.#sessions.values()) {
      if (held <= this.#limits.sessionBytes) return;
      if (stage.name !== 'keyed') continue;
      held -= stage.bytes;
      this.drop(id);
    }
  }

  /** A stranger can prove keys as often as it likes: the address that holds most proven sessions gives its oldest up. */
  #heaviest(): Session {
    const byAddress = Map.groupBy(this.#sessions.values(), (session) => session.address);
    const [most] = [...byAddress.values()].sort((a, b) => b.length - a.length);
    return most![0]!;
  }
}
