import type { Ip4 } from './ip4.ts';
import { bytesText, malformed, OPTION, type Options, readOptions, writeOption } from './options.ts';

/** A DHCP message (RFC 2131 section 2) with its option overload already undone. */
export type DhcpPacket = {
  /** 1 from a client, 2 from a server. */
  op: 1 | 2;
  htype: number;
  hops: number;
  xid: number;
  secs: number;
  /** 0x8000 asks for a broadcast answer. */
  flags: number;
  ciaddr: Ip4;
  yiaddr: Ip4;
  siaddr: Ip4;
  giaddr: Ip4;
  /** `hlen` bytes, 0 to 16. */
  chaddr: Uint8Array;
  /** Latin-1, at most 64 bytes; empty when overloaded. */
  sname: string;
  /** Latin-1, at most 128 bytes; empty when overloaded. */
  file: string;
  options: Options;
};

const MAGIC = 0x63825363;
const HEADER = 240;
/** BOOTP's smallest message; old relays and ROMs drop shorter ones (RFC 1542 2.1). */
const SMALLEST = 300;
/** Bytes of a message that is read. Clients send hundreds; 64 kB of tiny options would cost a tenth of a second each. */
export const LARGEST = 4096;

/** @throws BootwaveError `DHCP_MALFORMED`, and nothing else whatever the bytes are */
export function parsePacket(wire: Uint8Array): DhcpPacket {
  // Not as a Buffer, whose slices are no copies: they would keep the whole datagram, or change with it.
  const bytes = new Uint8Array(wire.buffer, wire.byteOffset, wire.length);
  if (bytes.length < HEADER) throw malformed(`${bytes.length} bytes are too few`);
  if (bytes.length > LARGEST) throw malformed(`${bytes.length} bytes are too many`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const op = bytes[0]!;
  const hlen = bytes[2]!;
  if (op !== 1 && op !== 2) throw malformed(`op is ${op}`);
  if (hlen > 16) throw malformed(`hlen is ${hlen}`);
  if (view.getUint32(236) !== MAGIC) throw malformed('no magic cookie');

  const options = new Map<number, Uint8Array>();
  readOptions(bytes.subarray(HEADER), options);
  const overload = options.get(OPTION.overload)?.[0] ?? 0;
  options.delete(OPTION.overload);
  // RFC 3396 section 5: the pieces are joined in the order options, file, sname.
  if ((overload & 1) !== 0) readOptions(bytes.subarray(108, 236), options);
  if ((overload & 2) !== 0) readOptions(bytes.subarray(44, 108), options);
  options.delete(OPTION.overload);

  return {
    op,
    htype: bytes[1]!,
    hops: bytes[3]!,
    xid: view.getUint32(4),
    secs: view.getUint16(8),
    flags: view.getUint16(10),
    ciaddr: view.getUint32(12),
    yiaddr: view.getUint32(16),
    siaddr: view.getUint32(20),
    giaddr: view.getUint32(24),
    chaddr: bytes.slice(28, 28 + hlen),
    sname: (overload & 2) === 0 ? bytesText(bytes.subarray(44, 108))! : '',
    file: (overload & 1) === 0 ? bytesText(bytes.subarray(108, 236))! : '',
    options,
  };
}

/**
 * Option 53 goes first and option 82 last (RFC 3046 2.1), the others in the map's order. Never overloads.
 * @throws RangeError when `sname`, `file` or `chaddr` is too long: a mistake of ours, never of the wire's
 */
export function serialisePacket(packet: DhcpPacket): Buffer {
  if (packet.chaddr.length > 16 || packet.sname.length > 64 || packet.file.length > 128) {
    throw new RangeError('chaddr, sname or file does not fit its field');
  }
  // One buffer for all of it, and of Node's pool: a storm is thousands of these in a second.
  let length = HEADER + 1;
  for (const value of packet.options.values())
    length += value.length + 2 * Math.max(1, Math.ceil(value.length / 255));
  const whole = Buffer.allocUnsafe(Math.max(SMALLEST, length)).fill(0);
  whole[0] = packet.op;
  whole[1] = packet.htype;
  whole[2] = packet.chaddr.length;
  whole[3] = packet.hops;
  whole.writeUInt32BE(packet.xid, 4);
  whole.writeUInt16BE(packet.secs, 8);
  whole.writeUInt16BE(packet.flags, 10);
  whole.writeUInt32BE(packet.ciaddr, 12);
  whole.writeUInt32BE(packet.yiaddr, 16);
  whole.writeUInt32BE(packet.siaddr, 20);
  whole.writeUInt32BE(packet.giaddr, 24);
  whole.set(packet.chaddr, 28);
  whole.write(packet.sname, 44, 'latin1');
  whole.write(packet.file, 108, 'latin1');
  whole.writeUInt32BE(MAGIC, 236);
  let at = HEADER;
  const put = (code: number) => {
    const value = packet.options.get(code);
    if (value !== undefined) at = writeOption(whole, at, code, value);
  };
  put(OPTION.messageType);
  for (const code of packet.options.keys()) {
    if (code !== OPTION.messageType && code !== OPTION.relayAgent) put(code);
  }
  put(OPTION.relayAgent);
  whole[at] = OPTION.end;
  return whole;
}
