/**
 * Bytes both ways on a connection whose messages are lines, while an operation goes on: `{"data": base64}` each, an empty one at
 * the end.
 */
import { Duplex } from 'node:stream';
import { firstEvent } from '../../base/first-event.ts';

/** Bytes of one line of it, before base64. */
const MOST = 32_768;

export type DataLine = { data: string };

/** One side of it. Whoever is slow to read or to be written to slows the other side down, and fills no memory. */
export class Carried extends Duplex {
  readonly #socket: Duplex;

  constructor(socket: Duplex) {
    super();
    this.#socket = socket;
    socket.once('close', () => this.destroy());
    this.on('error', () => {});
    // It closed while the operation was on its way, and says so no more.
    if (socket.destroyed) this.destroy();
  }

  /** What the other side has sent. */
  hear({ data }: DataLine): void {
    if (this.destroyed || this.readableEnded) return;
    const bytes = Buffer.from(data, 'base64');
    // After its end nobody reads any more, and what follows on the connection is not its.
    if (bytes.length === 0) this.push(null);
    else if (!this.push(bytes)) this.#socket.pause();
  }

  /** The other side says no more: what it has said is read first, if anybody reads. */
  async rest(): Promise<void> {
    if (this.destroyed) return;
    if (!this.readableEnded) this.push(null);
    if (this.readableFlowing !== null && !this.readableEnded) await firstEvent(this, ['end', 'close']);
    this.destroy();
  }

  override _read(): void {
    this.#socket.resume();
  }

  override _write(bytes: Buffer, _: BufferEncoding, done: (error?: Error | null) => void): void {
    const lines: string[] = [];
    for (let at = 0; at < bytes.length; at += MOST) lines.push(lineOf(bytes.subarray(at, at + MOST)));
    this.#socket.write(lines.join(''), done);
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#socket.write(lineOf(Buffer.alloc(0)), done);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#socket.resume();
    done(error);
  }
}

const lineOf = (bytes: Buffer) =>
  `${JSON.stringify({ data: bytes.toString('base64') } satisfies DataLine)}\n`;
