/**
 * Frames on the link: 4 bytes of length, big endian, then that many bytes of JSON in UTF-8. Both sides use this file.
 */
import { BootwaveError } from '../../base/error.ts';
import { LINK_LIMITS } from './messages.ts';

const HEADER = 4;
/** Bytes set aside for a frame before its own bytes arrive: a declared length alone must not cost memory. */
const FIRST = 4096;
/** Keeps nothing from one call to the next. */
const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** @throws BootwaveError `LINK_FRAME_OVERSIZED` */
export function encodeFrame(value: unknown): Buffer {
  const body = Buffer.from(JSON.stringify(value), 'utf8');
  if (body.length > LINK_LIMITS.frameBytes) throw oversized(body.length);
  const frame = Buffer.allocUnsafe(HEADER + body.length);
  frame.writeUInt32BE(body.length, 0);
  body.copy(frame, HEADER);
  return frame;
}

/** Takes bytes however they were cut and gives back whole messages. After it threw once, it takes no more. */
export class FrameDecoder {
  readonly #header = Buffer.alloc(HEADER);
  #headerBytes = 0;
  #body = Buffer.alloc(0);
  #bodyBytes = 0;
  #length = 0;
  #broken: BootwaveError | undefined;

  /** @throws BootwaveError `LINK_FRAME_OVERSIZED` or `LINK_FRAME_MALFORMED`; messages before the fault are lost with it */
  push(chunk: Uint8Array): unknown[] {
    if (this.#broken !== undefined) throw this.#broken;
    const messages: unknown[] = [];
    try {
      for (let at = 0; at < chunk.length; ) {
        at += this.#headerBytes < HEADER ? this.#takeHeader(chunk, at) : this.#takeBody(chunk, at);
        if (this.#headerBytes === HEADER && this.#bodyBytes === this.#length) messages.push(this.#finish());
      }
    } catch (error) {
      this.#broken = error as BootwaveError;
      this.#body = Buffer.alloc(0);
      throw error;
    }
    return messages;
  }

  #takeHeader(chunk: Uint8Array, at: number): number {
    const taken = Math.min(HEADER - this.#headerBytes, chunk.length - at);
    this.#header.set(chunk.subarray(at, at + taken), this.#headerBytes);
    this.#headerBytes += taken;
    if (this.#headerBytes === HEADER) {
      this.#length = this.#header.readUInt32BE(0);
      if (this.#length > LINK_LIMITS.frameBytes) throw oversized(this.#length);
      if (this.#length === 0) throw malformed('a frame of no bytes');
      this.#body = Buffer.allocUnsafe(Math.min(this.#length, FIRST));
    }
    return taken;
  }

  #takeBody(chunk: Uint8Array, at: number): number {
    const taken = Math.min(this.#length - this.#bodyBytes, chunk.length - at);
    const needed = this.#bodyBytes + taken;
    if (needed > this.#body.length) {
      const larger = Buffer.allocUnsafe(Math.min(this.#length, Math.max(needed, this.#body.length * 2)));
      this.#body.copy(larger, 0, 0, this.#bodyBytes);
      this.#body = larger;
    }
    this.#body.set(chunk.subarray(at, at + taken), this.#bodyBytes);
    this.#bodyBytes = needed;
    return taken;
  }

  #finish(): unknown {
    const bytes = this.#body.subarray(0, this.#length);
    this.#headerBytes = 0;
    this.#bodyBytes = 0;
    this.#length = 0;
    try {
      return JSON.parse(UTF8.decode(bytes));
    } catch {
      throw malformed('a frame that is not JSON in UTF-8');
    }
  }
}

function oversized(bytes: number): BootwaveError {
  return new BootwaveError({
    code: 'LINK_FRAME_OVERSIZED',
    what: `a frame of ${bytes} bytes on the link; the most is ${LINK_LIMITS.frameBytes}`,
    unchanged: 'nothing of it was acted on',
  });
}

function malformed(what: string): BootwaveError {
  return new BootwaveError({
    code: 'LINK_FRAME_MALFORMED',
    what: `${what} on the link`,
    unchanged: 'nothing of it was acted on',
  });
}
