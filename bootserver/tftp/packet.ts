/**
 * The five packets of TFTP (RFC 1350 section 5) and the option acknowledgement (RFC 2347), bytes <-> values. Pure, and
 * total: whatever arrives, `parsePacket` returns a packet or `undefined` and never throws.
 */

/** A name and a value as they stood on the wire. Names compare without regard to case (RFC 2347). */
export type Option = readonly [name: string, value: string];

export type Packet =
  | { op: 'read' | 'write'; file: string; mode: string; options: readonly Option[] }
  | { op: 'data'; block: number; data: Uint8Array }
  | { op: 'ack'; block: number }
  | { op: 'error'; code: number; message: string }
  | { op: 'oack'; options: readonly Option[] };

/** RFC 1350 section 5 (0 to 7), RFC 2347 (8). */
export const ERROR = {
  undefined: 0,
  notFound: 1,
  accessViolation: 2,
  illegalOperation: 4,
  optionNegotiation: 8,
} as const;

/** RFC 2347: a request with its options is at most 512 octets. */
const REQUEST_BYTES = 512;
/** Octets of an error text that are kept; a stranger wrote it and it goes to a log. */
const MESSAGE_BYTES = 256;

const OPCODE = { read: 1, write: 2, data: 3, ack: 4, error: 5, oack: 6 } as const;

/** @returns the packet, or `undefined` for anything that RFC 1350 and 2347 do not describe */
export function parsePacket(bytes: Uint8Array): Packet | undefined {
  if (bytes.length < 4) return undefined;
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const opcode = buffer.readUInt16BE(0);
  switch (opcode) {
    case OPCODE.read:
    case OPCODE.write:
      return parseRequest(opcode === OPCODE.read ? 'read' : 'write', buffer);
    case OPCODE.data:
      return { op: 'data', block: buffer.readUInt16BE(2), data: buffer.subarray(4) };
    case OPCODE.ack:
      return { op: 'ack', block: buffer.readUInt16BE(2) };
    case OPCODE.error: {
      // Some ROMs leave out the closing NUL, so the text ends where the packet ends.
      const [message = ''] = strings(buffer.subarray(4, 4 + MESSAGE_BYTES), true);
      return { op: 'error', code: buffer.readUInt16BE(2), message };
    }
    case OPCODE.oack:
      return buffer.length > REQUEST_BYTES
        ? undefined
        : { op: 'oack', options: pairs(strings(buffer.subarray(2), false)) };
    default:
      return undefined;
  }
}

function parseRequest(op: 'read' | 'write', buffer: Buffer): Packet | undefined {
  if (buffer.length > REQUEST_BYTES) return undefined;
  const [file, mode, ...rest] = strings(buffer.subarray(2), false);
  if (file === undefined || file === '' || mode === undefined || mode === '') return undefined;
  return { op, file, mode: mode.toLowerCase(), options: pairs(rest) };
}

/** Latin-1 keeps every byte, so that parsing and serialising are inverse. */
function strings(bytes: Buffer, keepUnfinished: boolean): string[] {
  const found: string[] = [];
  let start = 0;
  for (let end = bytes.indexOf(0); end !== -1; end = bytes.indexOf(0, start)) {
    found.push(bytes.toString('latin1', start, end));
    start = end + 1;
  }
  if (keepUnfinished && start < bytes.length) found.push(bytes.toString('latin1', start));
  return found;
}

/** ROMs pad requests with NULs: an empty name ends the list, and so does a name without a value. */
function pairs(list: readonly string[]): Option[] {
  const options: Option[] = [];
  for (let i = 0; i + 1 < list.length; i += 2) {
    const name = list[i] ?? '';
    if (name === '') break;
    options.push([name, list[i + 1] ?? '']);
  }
  return options;
}

/** @param packet its strings must hold no NUL and only Latin-1; `parsePacket` returns what went in */
export function serialisePacket(packet: Packet): Buffer {
  switch (packet.op) {
    case 'read':
    case 'write':
      return withStrings(OPCODE[packet.op], [packet.file, packet.mode, ...packet.options.flat()]);
    case 'oack':
      return withStrings(OPCODE.oack, packet.options.flat());
    case 'error': {
      const text = Buffer.from(`${packet.message}\0`, 'latin1');
      return Buffer.concat([head(OPCODE.error, packet.code), text]);
    }
    case 'ack':
      return head(OPCODE.ack, packet.block);
    case 'data':
      return Buffer.concat([head(OPCODE.data, packet.block), packet.data]);
  }
}

/** Bytes in front of the data of a block. */
export const DATA_HEADER = 4;

/**
 * Consecutive DATA packets, one behind the other.
 * @param first number of the first block, counted without wrapping
 * @param data of all of them; each but the last has `blockSize` bytes
 */
export function dataPackets(first: number, count: number, blockSize: number, data: Buffer): Buffer {
  const bytes = Buffer.allocUnsafe(data.length + count * DATA_HEADER);
  for (let i = 0, at = 0; i < count; i += 1) {
    bytes.writeUInt16BE(OPCODE.data, at);
    bytes.writeUInt16BE((first + i) & 0xffff, at + 2);
    at += DATA_HEADER;
    at += data.copy(bytes, at, i * blockSize, (i + 1) * blockSize);
  }
  return bytes;
}

function head(opcode: number, second: number): Buffer {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt16BE(opcode, 0);
  bytes.writeUInt16BE(second, 2);
  return bytes;
}

function withStrings(opcode: number, list: readonly string[]): Buffer {
  return Buffer.concat([Buffer.from([0, opcode]), ...list.map((text) => Buffer.from(`${text}\0`, 'latin1'))]);
}
