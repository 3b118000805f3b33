import { createSocket } from 'node:dgram';
import { parseIp4 } from '../../../formats/dhcp/ip4.ts';
import { OPTION, readSubOptions, textBytes } from '../../../formats/dhcp/options.ts';
import { parsePacket, serialisePacket } from '../../../formats/dhcp/packet.ts';
import { OPTION43_URL, VENDOR_CLASS } from '../../../protocol/enrolment/messages.ts';

/** DHCPINFORM and DHCPACK (RFC 2132 9.6). */
const INFORM = 8;
const ACK = 5;

/** One IPv4 address of this machine. */
export type LocalAddress = { address: string; mac: string };

/** The agent's own request for servers of vendor class `bootwave` (RFC 2131 4.4.3). */
export function informPacket(xid: number, { address, mac }: LocalAddress): Buffer {
  return serialisePacket({
    op: 1,
    htype: 1,
    hops: 0,
    xid,
    secs: 0,
    flags: 0,
    ciaddr: parseIp4(address),
    yiaddr: 0,
    siaddr: 0,
    giaddr: 0,
    chaddr: Buffer.from(mac.replaceAll(':', ''), 'hex'),
    sname: '',
    file: '',
    options: new Map([
      [OPTION.messageType, Uint8Array.of(INFORM)],
      [OPTION.vendorClass, textBytes(VENDOR_CLASS)],
      [OPTION.parameterList, Uint8Array.of(OPTION.vendorClass, OPTION.vendorSpecific)],
    ]),
  });
}

/** @returns the URL that an answer to `xid` names; undefined for every other datagram, whatever it holds */
export function urlOfAnswer(bytes: Uint8Array, xid: number): string | undefined {
  try {
    const { op, xid: answered, options } = parsePacket(bytes);
    if (op !== 2 || answered !== xid || options.get(OPTION.messageType)?.[0] !== ACK) return undefined;
    return urlOfVendorOptions(options.get(OPTION.vendorSpecific));
  } catch {
    return undefined;
  }
}

/** @param value of option 43; other vendors use it too, so anything but an https URL is ignored */
export function urlOfVendorOptions(value: Uint8Array | undefined): string | undefined {
  const text = value && readSubOptions(value).get(OPTION43_URL);
  const url = text && URL.parse(Buffer.from(text).toString('utf8'));
  return url && url.protocol === 'https:' && url.hostname !== '' ? url.origin : undefined;
}

/** Where a boot server listens: as DHCP server on 67, beside another one on 4011. */
const EVERYWHERE = [
  { address: '255.255.255.255', port: 67 },
  { address: '255.255.255.255', port: 4011 },
] as const;

/**
 * Asks from one address and gathers answers. The port is an ephemeral one, because 68 belongs to the DHCP client;
 * our servers answer to where a request came from.
 * @param patience milliseconds to gather
 */
export function askFrom(
  local: LocalAddress,
  xid: number,
  patience: number,
  targets: readonly { address: string; port: number }[] = EVERYWHERE,
): Promise<string[]> {
  return new Promise((resolve) => {
    const found = new Set<string>();
    const socket = createSocket('udp4');
    let timer: NodeJS.Timeout | undefined;
    const finish = () => {
      clearTimeout(timer);
      socket.close();
      resolve([...found]);
    };
    socket.on('error', finish);
    socket.on('message', (bytes) => {
      const url = urlOfAnswer(bytes, xid);
      if (url === undefined) return;
      found.add(url);
      // Others may answer too, and a rogue server may be faster; TLS tells them apart, so a short extra wait is enough.
      clearTimeout(timer);
      timer = setTimeout(finish, 300);
    });
    // Bound to an address, a broadcast leaves through the interface of that address (ip(7)).
    socket.bind({ address: local.address, port: 0 }, () => {
      socket.setBroadcast(true);
      const packet = informPacket(xid, local);
      for (const { address, port } of targets) socket.send(packet, port, address, () => {});
      timer = setTimeout(finish, patience);
    });
  });
}
