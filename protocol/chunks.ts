/**
 * Several streams of bytes over one, both ways, between who asks for a command in an instance and root on its node: a byte says which
 * stream, four (big endian) how many bytes follow.
 */
import { BootwaveError } from '../base/error.ts';

/**
 * `grant`: first of all, to root, as JSON; from root without bytes: it is taken. `in`, `out` and `err` are those of the command; an `in` without bytes ends it. `end`: last of
 * all, from root, as JSON (`endSchema`).
 */
export const STREAMS = ['grant', 'in', 'out', 'err', 'end'] as const;
export type Stream = (typeof STREAMS)[number];
export type Chunk = { stream: Stream; bytes: Buffer };

/** Bytes of one: a grant in its envelope fits. */
export const CHUNK = 128 * 1024;
const HEADER = 5;

/** As many as it takes. */
export function encodeChunks(stream: Stream, bytes: Buffer): Buffer {
  const pieces: Buffer[] = [];
  for (let at = 0; at === 0 || at < bytes.length; at += CHUNK) {
    const piece = bytes.subarray(at, at + CHUNK);
    const header = Buffer.alloc(HEADER);
    header.writeUInt8(STREAMS.indexOf(stream));
    header.writeUInt32BE(piece.length, 1);
    pieces.push(header, piece);
  }
  return Buffer.concat(pieces);
}

/** Takes bytes however they were cut. After it threw once it takes no more. */
export class ChunkDecoder {
  #held = Buffer.alloc(0);
  #broken = false;

  /** @throws BootwaveError `EXEC_CHUNK` */
  push(bytes: Uint8Array): Chunk[] {
    if (this.#broken) throw malformed();
    const chunks: Chunk[] = [];
    let rest = Buffer.concat([this.#held, bytes]);
    while (rest.length >= HEADER) {
      const stream = STREAMS[rest.readUInt8()];
      const size = rest.readUInt32BE(1);
      if (stream === undefined || size > CHUNK) {
        this.#broken = true;
        throw malformed();
      }
      if (rest.length < HEADER + size) break;
      chunks.push({ stream, bytes: rest.subarray(HEADER, HEADER + size) });
      rest = rest.subarray(HEADER + size);
    }
    this.#held = rest;
    return chunks;
  }
}

const malformed = () =>
  new BootwaveError({
    code: 'EXEC_CHUNK',
    what: 'what came of a command is in no form that is known here',
    unchanged: 'what came before it was passed on',
    next: 'compare the versions of server and image',
  });
