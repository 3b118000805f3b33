/**
 * Answers the requests of one connection one after the other, in the order in which they came (RFC 9112 section 9.3.2).
 * Node would start them all at once, and each would hold buffers and a file while it waits for its turn on the wire.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { HttpLimits } from './limits.ts';

type Turn = {
  /** Settles when everything that was taken so far is answered. */
  last: Promise<void>;
  /** Taken and not answered. */
  length: number;
  /** It came after the last request that is answered. */
  ignored: number;
  newest: ServerResponse | undefined;
};

type Answer = (request: IncomingMessage, response: ServerResponse) => Promise<void>;

export class Turns {
  readonly #limits: Pick<HttpLimits, 'waiting' | 'waitingOfAll'>;
  readonly #answer: Answer;
  readonly #turns = new Map<Socket, Turn>();
  #all = 0;

  constructor(limits: Pick<HttpLimits, 'waiting' | 'waitingOfAll'>, answer: Answer) {
    this.#limits = limits;
    this.#answer = answer;
  }

  take(server: Server): void {
    server.on('request', (request, response) => this.#take(request, response));
  }

  /** Resolves when the requests that this connection has sent are answered. */
  async over(socket: Socket): Promise<void> {
    await this.#turns.get(socket)?.last;
  }

  /** Resolves when nothing is being answered any more; for a server that no longer listens. */
  async drained(): Promise<void> {
    await Promise.all([...this.#turns.values()].map(({ last }) => last));
  }

  #take(request: IncomingMessage, response: ServerResponse): void {
    const { socket } = request;
    const turn = this.#turnOf(socket);
    const full = turn.length >= this.#limits.waiting || this.#all >= this.#limits.waitingOfAll;
    if (turn.ignored > 0 || (full && turn.length > 0)) {
      this.#ignore(socket, turn);
      return;
    }
    turn.length += 1;
    this.#all += 1;
    turn.newest = response;
    turn.last = turn.last
      .then(() => this.#answer(request, response))
      .catch(() => {
        socket.destroy();
      })
      .finally(() => {
        turn.length -= 1;
        this.#all -= 1;
        // It announced its end, unless the answer had begun before that was known.
        if (turn.length === 0 && turn.ignored > 0) socket.end();
      });
  }

  #turnOf(socket: Socket): Turn {
    const known = this.#turns.get(socket);
    if (known !== undefined) return known;
    const turn: Turn = { last: Promise.resolve(), length: 0, ignored: 0, newest: undefined };
    this.#turns.set(socket, turn);
    socket.once('close', () => {
      this.#all -= turn.ignored;
      void turn.last.then(() => this.#turns.delete(socket));
    });
    return turn;
  }

  /** RFC 9112 section 9.6: behind the answer that says "close" nothing is answered; the client asks anew. */
  #ignore(socket: Socket, turn: Turn): void {
    turn.ignored += 1;
    this.#all += 1;
    if (turn.newest?.headersSent === false) turn.newest.setHeader('Connection', 'close');
    // Node keeps what it has parsed until the connection ends.
    if (this.#all >= 2 * this.#limits.waitingOfAll) socket.destroy();
  }
}
