import { bytesText, macText } from '../../formats/dhcp/options.ts';
import { type Association, DUID_BYTES, readAssociation, readDuid } from '../../formats/dhcp6/identity.ts';
import { ANY6, type Ip6, isLinkLocal, sameBytes } from '../../formats/dhcp6/ip6.ts';
import { malformed6, OPTION6, option6, readVendorClass } from '../../formats/dhcp6/options.ts';
import { MESSAGE6, type Packet6 } from '../../formats/dhcp6/packet.ts';
import { type BootClient, firmwareOf } from '../boot/client.ts';

export type RequestType6 = 'solicit' | 'request' | 'renew' | 'rebind' | 'release' | 'decline' | 'information';

/** A client's message with the fields on which decisions depend, read once. */
export type Request6 = {
  packet: Packet6;
  type: RequestType6;
  clientId: Uint8Array | undefined;
  /** The server that it is for; undefined: for all. */
  serverId: Uint8Array | undefined;
  /** Lower case with colons; undefined where nothing says it. */
  mac: string | undefined;
  /** The machine's firmware and the number of its maker; undefined for all other clients. */
  boot: { client: BootClient; enterprise: number } | undefined;
  associations: readonly Association[];
  /** An address of the client's link, as its relay says; undefined: it is on our own. */
  link: Ip6 | undefined;
};

const TYPES: ReadonlyMap<number, RequestType6> = new Map([
  [MESSAGE6.solicit, 'solicit'],
  [MESSAGE6.request, 'request'],
  [MESSAGE6.renew, 'renew'],
  [MESSAGE6.rebind, 'rebind'],
  [MESSAGE6.release, 'release'],
  [MESSAGE6.decline, 'decline'],
  [MESSAGE6.information, 'information'],
]);

/**
 * @param from whom the packet came from: the client, or the relay next to us
 * @returns undefined for what no client on this wire asks of a server that stores no leases
 * @throws BootwaveError `DHCP6_MALFORMED`
 */
export function readRequest6(packet: Packet6, from: Ip6): Request6 | undefined {
  const { options, relays } = packet;
  const type = TYPES.get(packet.type);
  // RFC 8415 16: clients ask from their link-local address. What comes from elsewhere has crossed a router.
  if (type === undefined || (relays.length === 0 && !isLinkLocal(from))) return undefined;
  const clientId = option6(options, OPTION6.clientId);
  const { length } = clientId ?? { length: DUID_BYTES.least };
  if (length < DUID_BYTES.least || length > DUID_BYTES.most)
    throw malformed6(`an identifier of ${length} bytes`);
  return {
    packet,
    type,
    clientId,
    serverId: option6(options, OPTION6.serverId),
    mac: macOf(packet, from),
    boot: bootOf(packet, clientId),
    associations: options.flatMap(([code, value]) => (code === OPTION6.iaNa ? [readAssociation(value)] : [])),
    // RFC 8415 13.1: the relay that is nearest to the client and says one. Some (RFC 6221) have none.
    link: relays.findLast(({ link }) => !sameBytes(link, ANY6))?.link,
  };
}

/**
 * The MAC address of the card that boots, by which the fleet knows the machine over IPv4, too. A DUID comes last: it names
 * the machine by any of its cards, or by its UUID.
 */
function macOf({ options, relays }: Packet6, from: Ip6): string | undefined {
  const nearest = relays.at(-1);
  const said = nearest === undefined ? undefined : option6(nearest.options, OPTION6.clientLinkLayer);
  // RFC 6939: hardware type 1, then the address.
  if (said?.length === 8 && said[0] === 0 && said[1] === 1) return macText(said.subarray(2));
  const own = macOfLinkLocal(nearest?.peer ?? from);
  if (own !== undefined) return own;
  const duid = readDuid(option6(options, OPTION6.clientId) ?? new Uint8Array());
  return duid.kind === 'mac' ? duid.mac : undefined;
}

/** What `linkLocal` (boot/ipxe-ipv6.ts) makes of a MAC address, backwards; EDK2 makes its own like that. */
export function macOfLinkLocal(ip: Ip6): string | undefined {
  if (!isLinkLocal(ip) || ip[11] !== 0xff || ip[12] !== 0xfe) return undefined;
  const mac = Uint8Array.of(ip[8]! ^ 2, ip[9]!, ip[10]!, ip[13]!, ip[14]!, ip[15]!);
  // A group's address is nobody's own.
  return (mac[0]! & 1) === 1 || mac.every((byte) => byte === 0) ? undefined : macText(mac);
}

/** UEFI 2.10, 24.7.3.3: as over IPv4, firmware says in its vendor class what it is and how it boots. */
function bootOf({ options }: Packet6, clientId: Uint8Array | undefined): Request6['boot'] {
  for (const [code, value] of options) {
    if (code !== OPTION6.vendorClass) continue;
    const { enterprise, pieces } = readVendorClass(value) ?? { enterprise: 0, pieces: [] };
    const name = pieces.map((piece) => bytesText(piece) ?? '').find((text) => /^(PXE|HTTP)Client/.test(text));
    if (name === undefined) continue;
    const firmware = firmwareOf(option6(options, OPTION6.architecture), name);
    const duid = readDuid(clientId ?? new Uint8Array());
    const uuid = duid.kind === 'uuid' ? duid.uuid : undefined;
    return { client: { firmware, ipxe: false, uuid }, enterprise };
  }
  return undefined;
}
