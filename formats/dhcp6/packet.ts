import { concat } from '../dhcp/options.ts';
import { LARGEST } from '../dhcp/packet.ts';
import type { Ip6 } from './ip6.ts';
import { malformed6, OPTION6, type Options6, option6, readOptions6, writeOptions6 } from './options.ts';

/** RFC 8415 7.3. */
export const MESSAGE6 = {
  solicit: 1,
  advertise: 2,
  request: 3,
  confirm: 4,
  renew: 5,
  rebind: 6,
  reply: 7,
  release: 8,
  decline: 9,
  reconfigure: 10,
  information: 11,
} as const;

const RELAY_FORWARD = 12;
const RELAY_REPLY = 13;
/** What servers send. */
const FROM_SERVER: readonly number[] = [MESSAGE6.advertise, MESSAGE6.reply, MESSAGE6.reconfigure];
/** RFC 8415 7.6, HOP_COUNT_LIMIT: more relays than that are a loop. */
export const MOST_RELAYS = 8;

export type Message6 = {
  /** One of `MESSAGE6`, or one of a later standard; never a relay's. */
  type: number;
  /** 24 bits. */
  xid: number;
  options: Options6;
};

/** What one relay agent wrote around a message (RFC 8415 9). */
export type Relay = {
  hops: number;
  /** An address of the link that the client is on, or `::`. */
  link: Ip6;
  /** Who the relay had it from. */
  peer: Ip6;
  /** Without the message itself. */
  options: Options6;
};

/** A message with the relays that it came through, or goes back through; the one next to the server is the first. */
export type Packet6 = Message6 & { relays: readonly Relay[] };

/** @throws BootwaveError `DHCP6_MALFORMED`, and nothing else whatever the bytes are */
export function parsePacket6(wire: Uint8Array): Packet6 {
  if (wire.length > LARGEST) throw malformed6(`${wire.length} bytes are too many`);
  // A copy: a Buffer's slices would share memory with whatever the socket does with it next.
  let bytes = new Uint8Array(wire);
  const relays: Relay[] = [];
  let direction: number | undefined;
  while (bytes[0] === RELAY_FORWARD || bytes[0] === RELAY_REPLY) {
    if (bytes[0] !== (direction ?? bytes[0])) throw malformed6('relays of both directions');
    direction = bytes[0];
    if (relays.length === MOST_RELAYS) throw malformed6(`more than ${MOST_RELAYS} relays`);
    const options = readOptions6(bytes.subarray(34));
    const inner = option6(options, OPTION6.relayMessage);
    // Also when it is too short to hold its own addresses.
    if (inner === undefined) throw malformed6('a relay that relays nothing');
    relays.push({
      hops: bytes[1]!,
      link: bytes.slice(2, 18),
      peer: bytes.slice(18, 34),
      options: options.filter(([code]) => code !== OPTION6.relayMessage),
    });
    bytes = new Uint8Array(inner);
  }
  if (bytes.length < 4) throw malformed6(`${bytes.length} bytes are too few`);
  const type = bytes[0]!;
  if (direction !== undefined && direction !== directionOf(type))
    throw malformed6('a relay of the other direction');
  const xid = (bytes[1]! << 16) | (bytes[2]! << 8) | bytes[3]!;
  return { type, xid, options: readOptions6(bytes.subarray(4)), relays };
}

/** @throws RangeError when it does not fit, which is a mistake of ours, never of the wire's */
export function serialisePacket6({ type, xid, options, relays }: Packet6): Uint8Array {
  const head = Uint8Array.of(type, (xid >> 16) & 255, (xid >> 8) & 255, xid & 255);
  return relays.reduceRight<Uint8Array>(
    (inner, relay) =>
      concat(
        Uint8Array.of(directionOf(type), relay.hops),
        relay.link,
        relay.peer,
        writeOptions6([...relay.options, [OPTION6.relayMessage, inner]]),
      ),
    concat(head, writeOptions6(options)),
  );
}

function directionOf(type: number): number {
  return FROM_SERVER.includes(type) ? RELAY_REPLY : RELAY_FORWARD;
}
