/** The edge of one transfer: its own socket, its file, its two timers. Every decision is taken in transfer.ts. */
import type { Socket } from 'node:dgram';
import { messageOf } from '../../base/error.ts';
import type { Content } from './content.ts';
import type { Terms, TftpLimits } from './options.ts';
import { DATA_HEADER, dataPackets, ERROR, type Packet, parsePacket, serialisePacket } from './packet.ts';
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

/**
 * `unsegmentable`: the way to this client cannot take datagrams that the kernel cuts (a router with a smaller MTU, a card
 * that makes no checksums). Unless it was `heard`, nothing was sent yet, and another socket can take over.
 */
export type SessionOutcome = Outcome | { kind: 'unsegmentable'; heard: boolean };

export type SessionParts = {
  /**
   * Bound to the server's device and address, used by nobody else; its port is the server's transfer identifier. Connected to
   * the client (udp(7)): the kernel then keeps the way to it, and Node looks up no name, which together are a fifth of what
   * a block costs. A stranger who writes to this port is told by the kernel (ICMP) that it is not for him.
   */
  socket: Socket;
  client: Peer;
  content: Content;
  terms: Terms;
  limits: TftpLimits;
  /**
   * Whether the kernel cuts what `socket` sends into datagrams of a full block each (UDP_SEGMENT, udp(7)): a window then
   * costs one call instead of one for each of its blocks.
   */
  segmented: boolean;
  /** Called once, after socket and file are closed. */
  onEnd: (outcome: SessionOutcome) => void;
};

/** The kernel's limits: 64 segments (UDP_MAX_SEGMENTS), and as many bytes as one datagram can have. */
function togetherOf(blockSize: number): number {
  return Math.max(1, Math.min(64, Math.floor(65_000 / (blockSize + DATA_HEADER))));
}

/**
 * Nobody listens at the client's port (ICMP): it has what it wanted, or was reset, or somebody made this up. The timers know
 * better; what this kept from being sent is sent again.
 */
function isRefusal({ code }: NodeJS.ErrnoException): boolean {
  return code === 'ECONNREFUSED';
}

export class Session {
  readonly #parts: SessionParts;
  #state: Transfer;
  #timer: NodeJS.Timeout | undefined;
  #wait: number | undefined;
  readonly #life: NodeJS.Timeout;
  #next = 1;
  #last = 0;
  #loading = false;
  /** Blocks that one call hands to the kernel. */
  readonly #together: number;
  #ended = false;
  /** The last datagram has been handed to the kernel; closing the socket before would lose it. */
  #sent: Promise<void> = Promise.resolve();
  #closed: Promise<void> | undefined;
  #progressAt = Date.now();

  constructor(parts: SessionParts) {
    this.#parts = parts;
    const { socket, terms, content, limits } = parts;
    this.#together = parts.segmented ? togetherOf(terms.blockSize) : 1;
    socket.on('message', (bytes, from) => this.#received(bytes, from));
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (!isRefusal(error)) this.#end({ kind: 'failed', reason: error.message });
    });
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
    // What came in before the socket was connected.
    if (from.address !== client.address || from.port !== client.port) return;
    const packet = parsePacket(bytes);
    if (packet !== undefined) this.#step({ kind: 'packet', packet });
  }

  #step(input: Input): void {
    this.#apply(step(this.#state, input));
  }

  #apply({ state, send, wait, outcome }: Step): void {
    if (this.#ended) return;
    if (state.acked !== this.#state.acked || state.phase !== this.#state.phase) this.#progressAt = Date.now();
    this.#state = state;
    for (const item of send) {
      if (item.kind === 'packet') this.#transmit(item.packet);
      else {
        this.#next = item.first;
        this.#last = item.last;
      }
    }
    if (wait !== undefined) {
      if (wait === this.#wait) this.#timer?.refresh();
      else {
        clearTimeout(this.#timer);
        this.#timer = setTimeout(() => this.#step({ kind: 'timeout' }), wait);
        this.#wait = wait;
      }
    }
    if (outcome === undefined) this.#pump();
    else this.#end(outcome);
  }

  /** Sends what is due; where the content is not in memory, again when it is. */
  #pump(): void {
    while (!this.#ended && !this.#loading && this.#next <= this.#last) {
      const first = this.#next;
      const { blockSize } = this.#state.terms;
      const count = Math.min(this.#last - first + 1, this.#together);
      const at = (first - 1) * blockSize;
      const length = Math.min(count * blockSize, this.#state.size - at);
      const data = this.#parts.content.piece(at, length);
      if (data === undefined) this.#load(at, length);
      else {
        this.#next = first + count;
        this.#transmitBlocks(first, count, data);
      }
    }
  }

  #load(at: number, length: number): void {
    this.#loading = true;
    this.#parts.content.load(at, length).then(
      () => {
        this.#loading = false;
        this.#pump();
      },
      (error: unknown) => this.#fail(`the file cannot be read: ${messageOf(error)}`),
    );
  }

  #transmitBlocks(first: number, count: number, data: Buffer): void {
    const { socket } = this.#parts;
    const datagrams = dataPackets(first, count, this.#state.terms.blockSize, data);
    // What cannot be sent is lost, and what is lost is sent again.
    if (count === 1) socket.send(datagrams);
    else {
      socket.send(datagrams, (error) => {
        if (error !== null && !isRefusal(error)) this.#end({ kind: 'unsegmentable', heard: true });
      });
    }
  }

  #transmit(packet: Packet): void {
    if (this.#ended) return;
    // A datagram that cannot be sent is a lost one, and lost ones are sent again.
    this.#sent = new Promise((resolve) => {
      this.#parts.socket.send(serialisePacket(packet), (error) => {
        resolve();
        if (error !== null && !isRefusal(error) && this.#parts.segmented && !this.heard) {
          this.#end({ kind: 'unsegmentable', heard: false });
        }
      });
    });
  }

  #abandon(reason: string): void {
    if (onlyEndIsOpen(this.#state)) this.#end({ kind: 'finished', confirmed: false });
    else this.#fail(reason);
  }

  #fail(reason: string): void {
    this.#transmit({ op: 'error', code: ERROR.undefined, message: reason });
    this.#end({ kind: 'failed', reason });
  }

  #end(outcome: SessionOutcome): void {
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
