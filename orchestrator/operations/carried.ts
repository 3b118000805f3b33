/**
 * Bytes both ways on a connection whose messages are lines, while an operation goes on: `{"data": base64}` each, an empty one at
 * the end.
 */
import { Duplex } from 'node:stream';

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
    if (!this.push(bytes.length === 0 ? null : bytes)) this.#socket.pause();
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
