import type { Duplex } from 'node:stream';
import { BootwaveError } from '../../base/error.ts';
import { encodeFrame, FrameDecoder } from '../../protocol/link/frame.ts';
import {
  type ArgsOf,
  type FromNode,
  fromNode,
  LINK_LIMITS,
  OPS,
  type OpName,
  type Progress,
  type ResultOf,
  type ToNode,
} from '../../protocol/link/messages.ts';
import { type Clock, realClock } from './clock.ts';
import { abortedBy, linkFailure, NodeRefusal } from './errors.ts';

export type RequestOptions = {
  signal?: AbortSignal;
  /** Milliseconds of silence (neither progress nor an answer) after which the request has failed. */
  timeout?: number;
  onProgress?: (progress: Progress) => void;
};

/** Milliseconds. A node answers these from memory; staging tells its progress at least this often. */
const SILENCE = 30_000;

type Waiter = {
  settle(outcome: { result: unknown } | { error: BootwaveError }): void;
  progress(progress: Progress): void;
};

/** The orchestrator's end of one link: requests in flight by id over any byte stream. */
export class LinkSession {
  readonly #stream: Duplex;
  readonly #clock: Clock;
  readonly #decoder = new FrameDecoder();
  readonly #waiters = new Map<number, Waiter>();
  readonly #ended: Promise<BootwaveError>;
  #tellEnded: (error: BootwaveError) => void = () => {};
  #endedBy: BootwaveError | undefined;
  #lastId = 0;
  #heardAt: number;

  constructor(stream: Duplex, clock: Clock = realClock) {
    this.#stream = stream;
    this.#clock = clock;
    this.#heardAt = clock.now();
    this.#ended = new Promise((resolve) => {
      this.#tellEnded = resolve;
    });
    stream.on('data', (chunk: Buffer) => this.#receive(chunk));
    stream.on('error', (error) => this.end(linkFailure('LINK_CUT', 'the link broke', error)));
    stream.on('close', () => this.end(linkFailure('LINK_CUT', 'the node or the network cut the link')));
  }

  /** Resolves with the reason when the link is of no use any more. Never rejects. */
  get ended(): Promise<BootwaveError> {
    return this.#ended;
  }

  get isOpen(): boolean {
    return this.#endedBy === undefined;
  }

  get inFlight(): number {
    return this.#waiters.size;
  }

  /**
   * Asks the node and waits for its answer.
   * @throws NodeRefusal when the node says no; BootwaveError `LINK_TIMEOUT`, `LINK_CUT`, `LINK_PROTOCOL`, `LINK_BUSY`,
   * `LINK_ABORTED` or the reason for which the session ended
   */
  async request<O extends OpName>(
    op: O,
    args: ArgsOf<O>,
    options: RequestOptions = {},
  ): Promise<ResultOf<O>> {
    const { signal, onProgress } = options;
    if (this.#endedBy !== undefined) throw this.#endedBy;
    if (signal?.aborted === true) throw abortedBy(signal);
    if (this.#waiters.size >= LINK_LIMITS.inFlight)
      throw linkFailure('LINK_BUSY', `${LINK_LIMITS.inFlight} requests to this node are under way`);
    if (this.#waiters.size === 0) this.#heardAt = this.#clock.now();
    this.#lastId += 1;
    const id = this.#lastId;
    const frame = encodeFrame({ kind: 'request', id, op, args } satisfies ToNode);
    const result = await new Promise<unknown>((resolve, reject) => {
      const silence = options.timeout ?? SILENCE;
      const giveUp = (error: BootwaveError): void => {
        waiter.settle({ error });
        this.#send({ kind: 'abort', id });
      };
      const late = () => {
        giveUp(linkFailure('LINK_TIMEOUT', `no answer to ${op} within ${silence} ms`));
        // Not a byte for that long: the link itself is doubtful, and the next request gets a new one.
        if (this.#clock.now() - this.#heardAt >= SILENCE)
          this.end(linkFailure('LINK_CUT', `nothing was heard on the link for ${SILENCE} ms`));
      };
      let stopTimer = this.#clock.after(silence, late);
      const onAbort = () => giveUp(abortedBy(signal as AbortSignal));
      const waiter: Waiter = {
        settle: (outcome) => {
          stopTimer();
          signal?.removeEventListener('abort', onAbort);
          this.#waiters.delete(id);
          if ('error' in outcome) reject(outcome.error);
          else resolve(outcome.result);
        },
        progress: (progress) => {
          stopTimer();
          stopTimer = this.#clock.after(silence, late);
          onProgress?.(progress);
        },
      };
      this.#waiters.set(id, waiter);
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#stream.write(frame);
    });
    const parsed = OPS[op].result.safeParse(result);
    if (!parsed.success) {
      const issue = parsed.error.issues[0];
      throw linkFailure(
        'LINK_PROTOCOL',
        `the node's answer to ${op} is malformed: ${issue?.path.join('.') || 'value'}: ${issue?.message ?? ''}`,
      );
    }
    return parsed.data as ResultOf<O>;
  }

  /** Ends the session; every request under way fails with `reason`. Does nothing the second time. */
  end(reason: BootwaveError = linkFailure('LINK_CLOSED', 'the session was closed')): void {
    if (this.#endedBy !== undefined) return;
    this.#endedBy = reason;
    for (const waiter of [...this.#waiters.values()]) waiter.settle({ error: reason });
    this.#stream.destroy();
    this.#tellEnded(reason);
  }

  #send(message: ToNode): void {
    if (this.#endedBy === undefined) this.#stream.write(encodeFrame(message));
  }

  #receive(chunk: Buffer): void {
    if (this.#endedBy !== undefined) return;
    this.#heardAt = this.#clock.now();
    try {
      for (const message of this.#decoder.push(chunk)) {
        const parsed = fromNode.safeParse(message);
        if (!parsed.success) throw linkFailure('LINK_PROTOCOL', 'the answer of the node is malformed');
        this.#take(parsed.data);
      }
    } catch (error) {
      this.end(
        error instanceof BootwaveError
          ? error
          : linkFailure('LINK_PROTOCOL', 'an answer of the node could not be handled', error),
      );
    }
  }

  #take(message: FromNode): void {
    if (message.kind === 'error' && message.id === null) throw new NodeRefusal(message.error);
    const id = message.id as number;
    // An answer that nobody waits for any more is late, not wrong; an answer to no request is wrong.
    if (id > this.#lastId) throw linkFailure('LINK_PROTOCOL', 'the node answered what was never asked');
    const waiter = this.#waiters.get(id);
    if (waiter === undefined) return;
    if (message.kind === 'progress') waiter.progress(message.progress);
    else if (message.kind === 'error') waiter.settle({ error: new NodeRefusal(message.error) });
    else waiter.settle({ result: message.result });
  }
}
