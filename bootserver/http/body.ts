/**
 * Sends bytes of a file with backpressure: one buffer is read while the other is on its way, and both are used again.
 * `createReadStream` allocates a fresh buffer for every read, whose page faults cost more than the copying.
 */
import { read } from 'node:fs';
import type { ServerResponse } from 'node:http';

/** What `sendRange` needs of a response; writes call back when the bytes are in the kernel's hands. */
export type Sink = Pick<ServerResponse, 'write' | 'destroyed'>;

export type Range = { fd: number; start: number; end: number };

export class ClientGone extends Error {}

/** Buffers of one size that finished downloads leave to the next. */
export class BufferPool {
  readonly #size: number;
  readonly #most: number;
  readonly #free: Buffer[] = [];

  /** @param most buffers kept while nobody needs them */
  constructor(size: number, most: number) {
    this.#size = size;
    this.#most = most;
  }

  take(): Buffer {
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(this.#size);
  }

  give(buffer: Buffer): void {
    if (this.#free.length < this.#most) this.#free.push(buffer);
  }
}

/**
 * @param onSent called with the count of bytes handed to the kernel so far
 * @param within milliseconds for each buffer to be taken
 * @throws ClientGone when the connection closes early or is too slow; the file's own errors
 */
export async function sendRange(
  sink: Sink,
  { fd, start, end }: Range,
  pool: BufferPool,
  within: number,
  onSent: (bytes: number) => void,
): Promise<void> {
  const writer = new Writer(sink, within);
  let buffer = pool.take();
  let spare = pool.take();
  let writing: Promise<void> | undefined;
  try {
    for (let at = start; at < end; ) {
      const length = await readAt(fd, buffer, Math.min(buffer.length, end - at), at);
      await writing;
      at += length;
      const sent = at - start;
      writing = writer.write(buffer.subarray(0, length)).then(() => onSent(sent));
      // A rejection is met at the next await, one read later.
      writing.catch(() => {});
      [buffer, spare] = [spare, buffer];
    }
    await writing;
    // Only now does nobody read from them; after an early end they are left to the garbage collector.
    pool.give(buffer);
    pool.give(spare);
  } finally {
    writer.end();
  }
}

/** Writes that settle when the bytes are sent, when the connection breaks, or when it takes too long. */
class Writer {
  readonly #sink: Sink;
  readonly #timer: NodeJS.Timeout;
  #slow = false;
  #fail: (error: Error) => void = () => {};

  constructor(sink: Sink, within: number) {
    this.#sink = sink;
    this.#timer = setTimeout(() => {
      this.#slow = true;
      this.#fail(new ClientGone('it was too slow'));
    }, within);
  }

  write(bytes: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#slow || this.#sink.destroyed) {
        reject(new ClientGone(this.#slow ? 'it was too slow' : 'it closed the connection'));
        return;
      }
      this.#fail = reject;
      this.#timer.refresh();
      this.#sink.write(bytes, (error) => {
        if (error) reject(new ClientGone(error.message));
        else resolve();
      });
    });
  }

  end(): void {
    clearTimeout(this.#timer);
  }
}

function readAt(fd: number, buffer: Buffer, length: number, position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    read(fd, buffer, 0, length, position, (error, bytesRead) => {
      if (error !== null) reject(error);
      else if (bytesRead === 0) reject(new Error('the file became shorter while it was sent'));
      else resolve(bytesRead);
    });
  });
}
