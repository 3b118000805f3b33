import { connect, type Socket } from 'node:net';
import { BootwaveError, errorOf } from '../../base/error.ts';
import { onLines } from '../../base/lines.ts';
import type { Envelope } from '../../protocol/envelope.ts';
import type { Order } from '../../protocol/order.ts';
import type { OrderEnvelope } from '../../protocol/order-envelope.ts';
import type { Signed } from '../operators/request.ts';
import type { OrderSigner, Standing } from '../orders/order-signer.ts';
import type { GrantSigner } from './grant-for.ts';
import { type Ask, answerSchema, MOST_LINE } from './lines.ts';

type Question = Ask extends infer A ? (A extends Ask ? Omit<A, 'id'> : never) : never;
type Pending = {
  line: string;
  resolve(result: unknown): void;
  reject(error: unknown): void;
  timer: NodeJS.Timeout;
};

/** Milliseconds. */
export type ClientTimes = {
  /** How long to wait for a signer that was killed; the orchestrator asks again later. */
  patience: number;
  again: number;
};
const TIMES: ClientTimes = { patience: 20_000, again: 200 };

/**
 * Asks the signer behind a socket. If a signer died, the next one is asked the same: it signs the same order in the
 * same bytes.
 */
export class SignerClient implements OrderSigner, GrantSigner {
  readonly #path: string;
  readonly #times: ClientTimes;
  readonly #pending = new Map<number, Pending>();
  #socket: Socket | null = null;
  #again: NodeJS.Timeout | null = null;
  #id = 0;
  #closed = false;

  constructor(path: string, times: ClientTimes = TIMES) {
    this.#path = path;
    this.#times = times;
  }

  /** @throws BootwaveError the signer's refusal; `SIGNER_UNREACHABLE` */
  async sign(order: Order, shown?: string): Promise<OrderEnvelope> {
    const more = shown === undefined ? {} : { shown };
    return (await this.#ask({ op: 'sign', order, ...more })) as OrderEnvelope;
  }

  async standing(node: string, shown?: string): Promise<Standing> {
    const more = shown === undefined ? {} : { shown };
    return (await this.#ask({ op: 'standing', node, ...more })) as Standing;
  }

  async learn(node: string, shown: string): Promise<void> {
    await this.#ask({ op: 'learn', node, shown });
  }

  async grant(signed: Signed, shown?: string): Promise<Envelope> {
    const more = shown === undefined ? {} : { shown };
    return (await this.#ask({ op: 'grant', signed, ...more })) as Envelope;
  }

  close(): void {
    this.#closed = true;
    if (this.#again !== null) clearTimeout(this.#again);
    for (const id of [...this.#pending.keys()]) this.#fail(id, 'the orchestrator ends');
    this.#socket?.destroy();
  }

  #ask(question: Question): Promise<unknown> {
    if (this.#closed) return Promise.reject(unreachable('the orchestrator ends'));
    this.#id += 1;
    const id = this.#id;
    const line = `${JSON.stringify({ id, ...question })}\n`;
    // The signer would hang up, on all that is asked meanwhile.
    if (Buffer.byteLength(line) > MOST_LINE) return Promise.reject(oversized(line.length));
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#fail(id, 'it does not answer'), this.#times.patience);
      this.#pending.set(id, { line, resolve, reject, timer });
      if (this.#socket === null) this.#connect();
      else if (!this.#socket.connecting) this.#socket.write(line);
    });
  }

  #connect(): void {
    if (this.#again !== null || this.#closed) return;
    const socket = connect(this.#path);
    this.#socket = socket;
    socket.on('connect', () => {
      for (const { line } of this.#pending.values()) socket.write(line);
    });
    onLines(socket, MOST_LINE, (line) => this.#hear(line));
    socket.on('error', () => {});
    socket.on('close', () => {
      this.#socket = null;
      if (this.#pending.size === 0 || this.#closed) return;
      this.#again = setTimeout(() => {
        this.#again = null;
        this.#connect();
      }, this.#times.again);
    });
  }

  #hear(line: string): void {
    const answer = answerSchema.parse(JSON.parse(line));
    const pending = this.#take(answer.id);
    if (answer.ok) pending?.resolve(answer.result);
    else pending?.reject(errorOf(answer.error));
  }

  #fail(id: number, why: string): void {
    this.#take(id)?.reject(unreachable(why));
  }

  #take(id: number): Pending | undefined {
    const pending = this.#pending.get(id);
    clearTimeout(pending?.timer);
    this.#pending.delete(id);
    return pending;
  }
}

function oversized(length: number): BootwaveError {
  return new BootwaveError({
    code: 'ORDER_OVERSIZED',
    what: `what is to be signed takes ${length} characters, and no order is so long`,
    unchanged: 'nothing was signed',
    next: 'find out who wrote that into the database',
  });
}

function unreachable(why: string): BootwaveError {
  return new BootwaveError({
    code: 'SIGNER_UNREACHABLE',
    what: `the signer of orders cannot be asked: ${why}`,
    unchanged: 'nothing was signed',
    next: "it is tried again by itself; is 'bootwave signer' or 'bootwave up' running?",
  });
}
