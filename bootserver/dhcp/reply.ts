import { ANY, BROADCAST, formatIp4, type Ip4, ip4Bytes } from '../../formats/dhcp/ip4.ts';
import { OPTION, textBytes, writeSubOptions } from '../../formats/dhcp/options.ts';
import type { DhcpPacket } from '../../formats/dhcp/packet.ts';
import { OPTION43_URL, VENDOR_CLASS } from '../../protocol/enrolment/messages.ts';
import type { BootPart } from '../boot/answer.ts';
import type { LeaseChange } from './leases.ts';
import { type Arrival, type DhcpRequest, MESSAGE, serverIdFor } from './request.ts';

export type Destination = { address: Ip4; port: number };

/** What a packet leads to. A `record` among the changes must be durable before the reply leaves. */
export type Decision =
  | {
      kind: 'reply';
      reply: DhcpPacket;
      to: Destination;
      change?: LeaseChange;
      boot: boolean;
      /** The offered address, when it is unknown whether it is in use: probe it before the reply leaves (2.2). */
      probe?: { ip: Ip4; relayed: boolean };
      /** For the log, when there is an answer but something is wrong. */
      note?: { code: string; why: string };
    }
  | { kind: 'change'; change: LeaseChange; why: string; code?: string }
  | { kind: 'silent'; why: string; code?: string };

export function silent(why: string, code?: string): Decision {
  return code === undefined ? { kind: 'silent', why } : { kind: 'silent', why, code };
}

export type ReplyParts = {
  type: 'offer' | 'ack' | 'nak';
  serverIp: Ip4;
  yiaddr?: Ip4;
  ciaddr?: Ip4;
  options?: readonly (readonly [number, Uint8Array])[];
  boot?: BootPart | undefined;
};

/** RFC 2131 table 3, with what must be echoed: 82 (RFC 3046), 61 (RFC 6842), 97 to PXE clients (PXE 2.1, 2.2.3). */
export function replyTo(request: DhcpRequest, parts: ReplyParts): DhcpPacket {
  const { packet } = request;
  const options = new Map<number, Uint8Array>([
    [OPTION.messageType, Uint8Array.of(MESSAGE[parts.type])],
    [OPTION.serverId, ip4Bytes(serverIdFor(request, parts.serverIp))],
    ...(parts.options ?? []),
  ]);
  const echoed: number[] = [OPTION.clientId, OPTION.relayAgent];
  if (parts.boot !== undefined) {
    for (const [code, value] of parts.boot.options) options.set(code, value);
    echoed.push(OPTION.machineId);
  }
  for (const code of echoed) {
    const value = packet.options.get(code);
    if (value !== undefined) options.set(code, value);
  }
  // A name that is too long for its field is sent in option 67 alone.
  const file = parts.boot?.file ?? '';
  return {
    op: 2,
    htype: packet.htype,
    hops: 0,
    xid: packet.xid,
    secs: 0,
    // RFC 2131 4.3.2: a relay must broadcast a NAK, the client may not have a usable address.
    flags: parts.type === 'nak' && packet.giaddr !== ANY ? packet.flags | 0x8000 : packet.flags,
    ciaddr: parts.ciaddr ?? ANY,
    yiaddr: parts.yiaddr ?? ANY,
    siaddr: parts.boot?.siaddr ?? ANY,
    giaddr: packet.giaddr,
    chaddr: packet.chaddr,
    sname: '',
    file: file.length <= 127 ? file : '',
    options,
  };
}

/**
 * RFC 2131 4.1, without unicast to an address that the client has not configured yet: that would need an ARP entry
 * made by hand, and every client hears a broadcast. Port 4011 is answered where the question came from.
 */
export function destinationOf(request: DhcpRequest, arrival: Arrival, reply: DhcpPacket): Destination {
  if (arrival.port === 4011) return arrival.from;
  if (request.packet.giaddr !== ANY && request.type !== 'inform') {
    return { address: request.packet.giaddr, port: 67 };
  }
  const nak = reply.options.get(OPTION.messageType)?.[0] === MESSAGE.nak;
  if (request.packet.ciaddr !== ANY && !nak) return { address: request.packet.ciaddr, port: 68 };
  return { address: BROADCAST, port: 68 };
}

/** The agent's own request (docstring of VENDOR_CLASS). */
export function isAgent(request: DhcpRequest): boolean {
  return request.vendorClass === VENDOR_CLASS;
}

/** How the agent finds its boot server. */
export function agentOptions(serverIp: Ip4, httpsPort: number): [number, Uint8Array][] {
  const url = textBytes(`https://${formatIp4(serverIp)}:${httpsPort}`);
  return [
    [OPTION.vendorClass, textBytes(VENDOR_CLASS)],
    [OPTION.vendorSpecific, writeSubOptions([[OPTION43_URL, url]])],
  ];
}

/**
 * The agent's INFORM on either port. It has its address already and listens on a port of its own, so the answer goes
 * to where the question came from; a relayed one goes to its address (RFC 2131 4.3.5).
 */
export function informAgent(
  request: DhcpRequest,
  arrival: Arrival,
  server: { serverIp: Ip4; httpsPort: number },
): Decision {
  const { packet } = request;
  const relayed = packet.giaddr !== ANY;
  const to = relayed ? { address: packet.ciaddr, port: 68 } : arrival.from;
  if (to.address === ANY || to.port === 0) return silent('an INFORM without an address to answer to');
  const reply = replyTo(request, {
    type: 'ack',
    serverIp: server.serverIp,
    ciaddr: packet.ciaddr,
    options: agentOptions(server.serverIp, server.httpsPort),
  });
  return { kind: 'reply', reply, to, boot: false };
}
