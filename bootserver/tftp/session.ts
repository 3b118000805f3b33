/** The edge of one transfer: its own socket, its file, its two timers. Every decision is taken in transfer.ts. */
import type { Socket } from 'node:dgram';
import { messageOf } from '../../base/error.ts';
import type { Content } from './content.ts';
import type { Terms, TftpLimits } from './options.ts';
import { ERROR, type Packet, parsePacket, serialisePacket } from './packet.ts';
import {
  begin,
  heard,
  type Input,
  type Outcome,
  onlyEndIsOpen,
  type Step,
  step,
  type Transfer,
} from './transfer.ts';

export type Peer = { address: string; port: number };

export type SessionParts = {
  /** Bound to the server's device and address, used by nobody else; its port is the server's transfer identifier. */
  socket: Socket;
  client: Peer;
  content: Content;
  terms: Terms;
  limits: TftpLimits;
  /** Called once, after socket and file are closed. */
  onEnd: (outcome: Outcome) => void;
};

export class Session {
  readonly #parts: SessionParts;
  #state: Transfer;
  #timer: NodeJS.Timeout | undefined;
  readonly #life: NodeJS.Timeout;
  #next = 1;
  #last = 0;
  #pumping = false;
  #ended = false;
  /** The last datagram has been handed to the kernel; closing the socket before would lose it. */
  #sent: Promise<void> = Promise.resolve();
  #closed: Promise<void> | undefined;
  #progressAt = Date.now();

  constructor(parts: SessionParts) {
    this.#parts = parts;
    const { socket, terms, content, limits } = parts;
    socket.on('message', (bytes, from) => this.#received(bytes, from));
    socket.on('error', (error) => this.#end({ kind: 'failed', reason: error.message }));
    this.#life = setTimeout(
      () => this.#abandon(`not done within ${limits.transferLife / 1000} s`),
      limits.transferLife,
    );
    const first = begin(terms, content.size, limits);
    this.#state = first.state;
    this.#apply(first);
  }

  get heard(): boolean {
    return heard(this.#state);
  }

  get progressAt(): number {
    return this.#progressAt;
  }

  /** Ends without a word to the client, which asks again when it is there: on an error firmware gives up. */
  drop(): void {
    this.#end({ kind: 'failed', reason: 'it was silent, and others needed the room' });
  }

  /** Tells the client and ends; for a server that stops. Resolves when socket and file are closed. */
  async stop(): Promise<void> {
    this.#abandon('the server is stopping');
    await this.#closed;
  }

  #received(bytes: Buffer, from: Peer): void {
    const { client } = this.#parts;
    const packet = parsePacket(bytes);
    if (from.address === client.address && from.port === client.port) {
      if (packet !== undefined) this.#step({ kind: 'packet', packet });
      return;
    }
    // RFC 1350 section 4: a stranger is told so and the transfer goes on. An error is never answered by an error.
    if (packet?.op === 'error') return;
    this.#transmit({ op: 'error', code: ERROR.unknownTransfer, message: 'unknown transfer' }, from);
  }

  #step(input: Input): void {
    this.#apply(step(this.#state, input));
  }

  #apply({ state, send, wait, outcome }: Step): void {
    if (this.#ended) return;
    if (state.acked !== this.#state.acked || state.phase !== this.#state.phase) this.#progressAt = Date.now();
    this.#state = state;
    for (const item of send) {
      if (item.kind === 'packet') this.#transmit(item.packet, this.#parts.client);
      else {
        this.#next = item.first;
        this.#last = item.last;
      }
    }
    if (wait !== undefined) {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#step({ kind: 'timeout' }), wait);
    }
    if (outcome === undefined) void this.#pump();
    else this.#end(outcome);
  }

  async #pump(): Promise<void> {
    if (this.#pumping) return;
    this.#pumping = true;
    try {
      while (!this.#ended && this.#next <= this.#last) {
        const block = this.#next;
        const { at, length } = this.#place(block);
        const data = this.#parts.content.piece(at, length);
        if (data === undefined) {
          await this.#parts.content.load(at, length);
          continue;
        }
        this.#next = block + 1;
        this.#transmit({ op: 'data', block: block & 0xffff, data }, this.#parts.client);
      }
    } catch (error) {
      this.#fail(`the file cannot be read: ${messageOf(error)}`);
    } finally {
      this.#pumping = false;
    }
  }

  #place(block: number): { at: number; length: number } {
    const at = (block - 1) * this.#state.terms.blockSize;
    return { at, length: Math.min(this.#state.terms.blockSize, this.#state.size - at) };
  }

  #transmit(packet: Packet, to: Peer): void {
    if (this.#ended || to.port === 0) return;
    // A datagram that cannot be sent is a lost one, and lost ones are sent again.
    this.#sent = new Promise((resolve) => {
      this.#parts.socket.send(serialisePacket(packet), to.port, to.address, () => resolve());
    });
  }

  #abandon(reason: string): void {
    if (onlyEndIsOpen(this.#state)) this.#end({ kind: 'finished', confirmed: false });
    else this.#fail(reason);
  }

  #fail(reason: string): void {
    this.#transmit({ op: 'error', code: ERROR.undefined, message: reason }, this.#parts.client);
    this.#end({ kind: 'failed', reason });
  }

  #end(outcome: Outcome): void {
    if (this.#ended) return;
    this.#ended = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#life);
    this.#closed = this.#close().then(() => this.#parts.onEnd(outcome));
  }

  async #close(): Promise<void> {
    await this.#sent;
    const { socket, content } = this.#parts;
    await Promise.allSettled([
      new Promise<void>((resolve) => socket.close(() => resolve())),
      content.close(),
    ]);
  }
}
