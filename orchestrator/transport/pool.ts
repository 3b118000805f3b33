import type { ParsedKey } from 'ssh2';
import { type BackoffLimits, backoff } from '../../base/backoff.ts';
import { BootwaveError } from '../../base/error.ts';
import type { ArgsOf, Hello, OpName, ResultOf } from '../../protocol/link/messages.ts';
import type { LinkTarget } from './channel.ts';
import { readClientKey } from './client-key.ts';
import { type Clock, realClock } from './clock.ts';
import { type Connected, connect } from './connect.ts';
import { abortedBy, linkFailure } from './errors.ts';
import { Gate } from './gate.ts';
import type { PaceLimits } from './pace.ts';
import type { LinkSession, RequestOptions } from './session.ts';
import { sleep, untilAborted } from './wait.ts';

export type PoolLimits = PaceLimits &
  BackoffLimits & {
    /** Connections held at once, used or not. */
    open: number;
    /** Milliseconds for one attempt to connect, and again for the node's hello. */
    connectTimeout: number;
  };

const POOL_LIMITS: PoolLimits = {
  open: 12_000,
  rate: 200,
  burst: 40,
  concurrent: 64,
  perGroup: 24,
  connectTimeout: 20_000,
  first: 1_000,
  most: 60_000,
};

export type PoolOptions = {
  /** The orchestrator's client key, OpenSSH or PEM text. */
  privateKey: string | Buffer;
  /**
   * Where the node is and which host key it has now; asked before every attempt, because both change when a node
   * restarts and enrols again. Its errors are passed on, and never tried again.
   */
  resolve(id: string): Promise<LinkTarget>;
  limits?: Partial<PoolLimits>;
  clock?: Clock;
  /** From 0 up to 1. */
  random?: () => number;
  /** Closes the pool. */
  signal?: AbortSignal;
  /** Called after every failed attempt; `LINK_HOST_KEY` and `LINK_WRONG_NODE` belong in the audit stream. */
  onFailure?: (id: string, error: BootwaveError) => void;
  /** Called when a connection ends that the pool did not end itself. */
  onLost?: (id: string, reason: BootwaveError) => void;
};

type ConnectOptions = {
  signal?: AbortSignal;
  /**
   * Milliseconds during which failed connections are tried again, with backoff. 0, the default: one attempt, or none
   * and the last error again, while the node's backoff has not passed.
   */
  connectWithin?: number;
};

export type PoolRequestOptions = RequestOptions & ConnectOptions;

type Attempt = { result: Promise<LinkSession>; waiters: number; abort: AbortController; over: boolean };

type Node = {
  id: string;
  link: Connected | null;
  attempt: Attempt | null;
  /** Failed attempts in a row; the last error and when, by the pool's clock, the next may begin. */
  failures: number;
  lastError: BootwaveError | null;
  notBefore: number;
};

/** Trying again cannot help: a person has to do something first. */
const HOPELESS = new Set([
  'LINK_AUTH',
  'LINK_HOST_KEY_RECORD',
  'LINK_SUBSYSTEM',
  'LINK_PROTOCOL',
  'LINK_ABORTED',
]);

/**
 * Connections to nodes, opened on demand at a bounded pace, kept, shared by all requests to a node, and closed when
 * idle only to make room for others.
 */
export class LinkPool {
  readonly #options: PoolOptions;
  readonly #clientKey: ParsedKey;
  readonly #limits: PoolLimits;
  readonly #clock: Clock;
  readonly #gate: Gate;
  readonly #nodes = new Map<string, Node>();
  /** Connected, with nothing in flight; the longest idle first. */
  readonly #idle = new Set<Node>();
  readonly #closing = new AbortController();
  #open = 0;

  constructor(options: PoolOptions) {
    this.#options = options;
    this.#clientKey = readClientKey(options.privateKey);
    this.#limits = { ...POOL_LIMITS, ...options.limits };
    this.#clock = options.clock ?? realClock;
    this.#gate = new Gate(this.#limits, this.#clock, (opening) => this.#hasRoom(opening));
    if (options.signal?.aborted === true) this.close();
    else options.signal?.addEventListener('abort', () => this.close(), { once: true });
  }

  /** Connections: held, being opened, waiting to be opened. */
  get load(): { open: number; opening: number; waiting: number } {
    const { opening, waiting } = this.#gate;
    return { open: this.#open, opening, waiting };
  }

  /**
   * Asks a node over its connection, opening one if need be.
   * @throws NodeRefusal when the node says no; else BootwaveError with a `LINK_*` code, or what `resolve` threw
   */
  async request<O extends OpName>(
    id: string,
    op: O,
    args: ArgsOf<O>,
    options: PoolRequestOptions = {},
  ): Promise<{ result: ResultOf<O> }> {
    const session = this.#openTo(id) ?? (await this.#connected(id, options));
    try {
      return { result: await session.request(op, args, options) };
    } finally {
      this.#rest(id);
    }
  }

  /** What the node reported when its connection was opened; null without a connection. */
  helloOf(id: string): Hello | null {
    return this.#nodes.get(id)?.link?.hello ?? null;
  }

  /** Forgets a node: it has enrolled again, was retired, or is quarantined. Requests under way fail with `reason`. */
  drop(id: string, reason = linkFailure('LINK_CLOSED', `the connection to ${id} was given up`)): void {
    const node = this.#nodes.get(id);
    if (node === undefined) return;
    // New requests start from scratch and are in no old queue.
    this.#nodes.delete(id);
    node.attempt?.abort.abort(reason);
    node.link?.session.end(reason);
  }

  close(): void {
    const reason = linkFailure('LINK_CLOSED', 'the orchestrator is stopping');
    this.#closing.abort(reason);
    for (const id of [...this.#nodes.keys()]) this.drop(id, reason);
  }

  #openTo(id: string): LinkSession | null {
    const node = this.#nodes.get(id);
    if (node === undefined || node.link === null || !node.link.session.isOpen) return null;
    this.#idle.delete(node);
    return node.link.session;
  }

  async #connected(id: string, { signal, connectWithin = 0 }: ConnectOptions): Promise<LinkSession> {
    const closing = this.#closing.signal;
    const stop = signal === undefined ? closing : AbortSignal.any([closing, signal]);
    const until = this.#clock.now() + connectWithin;
    for (;;) {
      if (stop.aborted) throw abortedBy(stop);
      const open = this.#openTo(id);
      if (open !== null) return open;
      const node = this.#nodeOf(id);
      const now = this.#clock.now();
      if (node.notBefore <= now || node.lastError === null) {
        try {
          return await this.#join(node, stop);
        } catch (error) {
          if (stop.aborted || !mayRetry(error) || this.#clock.now() >= until) throw error;
        }
      } else if (node.notBefore > until) throw node.lastError;
      else await sleep(node.notBefore - now, this.#clock, stop);
    }
  }

  #nodeOf(id: string): Node {
    const known = this.#nodes.get(id);
    if (known !== undefined) return known;
    const node: Node = { id, link: null, attempt: null, failures: 0, lastError: null, notBefore: 0 };
    this.#nodes.set(id, node);
    return node;
  }

  /** Waits for the one attempt under way for this node; the last one to lose interest calls it off. */
  async #join(node: Node, signal: AbortSignal): Promise<LinkSession> {
    node.attempt ??= this.#begin(node);
    const { attempt } = node;
    attempt.waiters += 1;
    try {
      return await untilAborted(attempt.result, signal);
    } catch (error) {
      this.#rest(node.id);
      throw error;
    } finally {
      attempt.waiters -= 1;
      if (attempt.waiters === 0 && !attempt.over)
        attempt.abort.abort(linkFailure('LINK_ABORTED', 'nobody waits for this connection'));
    }
  }

  #begin(node: Node): Attempt {
    const abort = new AbortController();
    const result = this.#attempt(node, abort.signal).finally(() => {
      attempt.over = true;
      node.attempt = null;
      this.#forget(node);
    });
    const attempt: Attempt = { result, waiters: 0, abort, over: false };
    // All who wait are informed; if nobody is left, nothing is needed.
    result.catch(() => {});
    return attempt;
  }

  async #attempt(node: Node, signal: AbortSignal): Promise<LinkSession> {
    const target = await untilAborted(this.#options.resolve(node.id), signal);
    await this.#gate.enter(node.id, target.group, signal);
    try {
      const timeout = this.#limits.connectTimeout;
      const link = await connect(target, { clientKey: this.#clientKey, timeout, clock: this.#clock, signal });
      if (signal.aborted) {
        link.session.end();
        throw abortedBy(signal);
      }
      this.#keep(node, link);
      return link.session;
    } catch (error) {
      if (!signal.aborted) this.#failed(node, error);
      throw error;
    } finally {
      this.#gate.leave(target.group);
    }
  }

  #keep(node: Node, link: Connected): void {
    node.link = link;
    node.failures = 0;
    node.lastError = null;
    this.#open += 1;
    void link.session.ended.then((reason) => {
      this.#open -= 1;
      this.#idle.delete(node);
      if (node.link === link) node.link = null;
      this.#forget(node);
      if (reason.code !== 'LINK_CLOSED') this.#options.onLost?.(node.id, reason);
      this.#gate.pump();
    });
  }

  #failed(node: Node, error: unknown): void {
    const coded =
      error instanceof BootwaveError ? error : linkFailure('LINK_HANDSHAKE', String(error), error);
    node.failures += 1;
    node.lastError = coded;
    node.notBefore =
      this.#clock.now() + backoff(node.failures, (this.#options.random ?? Math.random)(), this.#limits);
    this.#options.onFailure?.(node.id, coded);
  }

  /** A connection with nothing in flight may be closed to make room. */
  #rest(id: string): void {
    const node = this.#nodes.get(id);
    const session = node?.link?.session;
    if (node === undefined || session === undefined || session.inFlight > 0 || !session.isOpen) return;
    this.#idle.delete(node);
    this.#idle.add(node);
    if (this.#gate.waiting > 0) this.#gate.pump();
  }

  /** Nothing is remembered of a node that is neither connected nor failing. */
  #forget(node: Node): void {
    const rests = node.link === null && node.attempt === null && node.failures === 0;
    if (rests && this.#nodes.get(node.id) === node) this.#nodes.delete(node.id);
  }

  /** Room for one more connection, made by closing the one that has been idle longest. */
  #hasRoom(opening: number): boolean {
    if (this.#open + opening < this.#limits.open) return true;
    const oldest = this.#idle.values().next().value;
    if (oldest !== undefined) {
      this.#idle.delete(oldest);
      oldest.link?.session.end(linkFailure('LINK_CLOSED', 'an idle connection was closed to make room'));
    }
    // The place is free once that end has been noted, and then the gate is pumped again.
    return false;
  }
}

function mayRetry(error: unknown): boolean {
  return error instanceof BootwaveError && error.code.startsWith('LINK_') && !HOPELESS.has(error.code);
}
