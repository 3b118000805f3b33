import { ANY, type Ip4 } from '../../formats/dhcp/ip4.ts';
import {
  bytesText,
  macText,
  malformed,
  OPTION,
  optionU32,
  readSubOptions,
} from '../../formats/dhcp/options.ts';
import type { DhcpPacket } from '../../formats/dhcp/packet.ts';

/** RFC 2132 9.6. */
export const MESSAGE = {
  discover: 1,
  offer: 2,
  request: 3,
  decline: 4,
  ack: 5,
  nak: 6,
  release: 7,
  inform: 8,
} as const;
export type RequestType = 'discover' | 'request' | 'decline' | 'release' | 'inform';

/** A client's message with the fields on which decisions depend, read once. */
export type DhcpRequest = {
  packet: DhcpPacket;
  type: RequestType;
  /** Lower case with colons; undefined when the hardware is not Ethernet-like (htype 1, 6 bytes). */
  mac: string | undefined;
  /** Option 61 as hex. */
  clientId: string | undefined;
  requested: Ip4 | undefined;
  serverId: Ip4 | undefined;
  vendorClass: string | undefined;
  /** Seconds that the client asked for (option 51). */
  leaseTime: number | undefined;
  /** What a relay agent says in option 82; empty without one. */
  relay: {
    /** The subnet that the client is on (RFC 3527), where giaddr is not in it. */
    link?: Ip4 | undefined;
    /** The address under which the client must know this server, so that renewals pass the relay (RFC 5107). */
    serverId?: Ip4 | undefined;
  };
};

/** Where a message came in and from whom. */
export type Arrival = { port: 67 | 4011; from: { address: Ip4; port: number } };

const TYPES: ReadonlyMap<number | undefined, RequestType> = new Map([
  [MESSAGE.discover, 'discover'],
  [MESSAGE.request, 'request'],
  [MESSAGE.decline, 'decline'],
  [MESSAGE.release, 'release'],
  [MESSAGE.inform, 'inform'],
]);

/** Bytes of option 61 in one piece (RFC 2132 9.14): it is kept with the lease, on disk. */
const LONGEST_CLIENT_ID = 255;

/**
 * @returns undefined for what no client sends: replies, plain BOOTP, unknown types
 * @throws BootwaveError `DHCP_MALFORMED`
 */
export function readRequest(packet: DhcpPacket): DhcpRequest | undefined {
  const type = TYPES.get(packet.options.get(OPTION.messageType)?.[0]);
  if (packet.op !== 1 || type === undefined) return undefined;
  const clientId = packet.options.get(OPTION.clientId);
  if (clientId !== undefined && clientId.length > LONGEST_CLIENT_ID) {
    throw malformed(`an identifier of ${clientId.length} bytes`);
  }
  return {
    packet,
    type,
    mac: macOf(packet),
    // RFC 2132 9.14: at least two bytes.
    clientId:
      clientId !== undefined && clientId.length >= 2 ? Buffer.from(clientId).toString('hex') : undefined,
    requested: optionU32(packet.options, OPTION.requestedAddress),
    serverId: optionU32(packet.options, OPTION.serverId),
    vendorClass: bytesText(packet.options.get(OPTION.vendorClass)),
    leaseTime: optionU32(packet.options, OPTION.leaseTime),
    relay: relayOf(packet),
  };
}

/** Only option 82 of a relay counts: without giaddr the client made it up (RFC 3046 2.1). */
function relayOf(packet: DhcpPacket): DhcpRequest['relay'] {
  const value = packet.options.get(OPTION.relayAgent);
  if (packet.giaddr === ANY || value === undefined) return {};
  const said = readSubOptions(value);
  return { link: optionU32(said, 5), serverId: optionU32(said, 11) };
}

/** Under which address this client knows the server. */
export function serverIdFor(request: DhcpRequest, serverIp: Ip4): Ip4 {
  return request.relay.serverId ?? serverIp;
}

/**
 * A message that names no server is for all servers; one of a client that renewed past the relay names our own address.
 */
export function isForUs(request: DhcpRequest, serverIp: Ip4): boolean {
  const { serverId } = request;
  return serverId === undefined || serverId === serverIp || serverId === request.relay.serverId;
}

function macOf(packet: DhcpPacket): string | undefined {
  if (packet.htype !== 1 || packet.chaddr.length !== 6 || packet.chaddr.every((byte) => byte === 0)) {
    return undefined;
  }
  return macText(packet.chaddr);
}

/** PXE ROMs, UEFI HTTP Boot and iPXE, as their option 60 says (PXE 2.1 section 2.2.3, UEFI 2.10 section 24.7). */
export function isBootFirmware(request: DhcpRequest): boolean {
  return /^(PXE|HTTP)Client/.test(request.vendorClass ?? '');
}
