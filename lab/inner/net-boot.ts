/**
 * Firmware of machines that boot from the network: UEFI HTTP Boot (UEFI 2.10, 24.7). It asks by DHCP and fetches what it
 * is told to; it starts nothing.
 */
import { createHash, randomInt } from 'node:crypto';
import type { Socket } from 'node:dgram';
import { BootwaveError, messageOf } from '../../base/error.ts';
import { within } from '../../base/wait.ts';
import { openClientUdp } from '../../bootserver/sockets.ts';
import { formatIp4, ip4Bytes } from '../../formats/dhcp/ip4.ts';
import { bytesText, OPTION, textBytes } from '../../formats/dhcp/options.ts';
import { type DhcpPacket, parsePacket, serialisePacket } from '../../formats/dhcp/packet.ts';

export type NetBooted = {
  /** Dotted quad. */
  address: string;
  /** What it has fetched; null: it was sent on to its disk. */
  image: { url: string; sha256: string; size: number } | null;
};

/** RFC 2132 9.6. */
const DISCOVER = 1;
const OFFER = 2;
const REQUEST = 3;
const ACK = 5;
const BROADCAST_FLAG = 0x8000;
/** x64 UEFI HTTP (IANA, processor architecture types). */
const ARCHITECTURE = Uint8Array.of(0, 16);
const SERVER_PORT = 67;
const CLIENT_PORT = 68;
/** Milliseconds for an answer; firmware asks again after it. */
const ANSWER = 4_000;
const TRIES = 5;

/**
 * @param device the interface of their network @param macs lower case with colons
 * @returns what became of each, in their order
 * @throws BootwaveError `NET_BOOT`, and as `openClientUdp`
 */
export async function netBoot(
  device: string,
  macs: readonly string[],
  signal: AbortSignal,
): Promise<NetBooted[]> {
  const socket = await openClientUdp(device, CLIENT_PORT, signal);
  socket.setMaxListeners(0);
  try {
    return await Promise.all(
      macs.map((mac) =>
        bootOne(socket, mac, signal).catch((cause: unknown) => {
          signal.throwIfAborted();
          throw new BootwaveError({
            code: 'NET_BOOT',
            what: `the machine ${mac} does not boot from ${device}: ${messageOf(cause)}`,
            unchanged: 'nothing was started on it',
            next: "look at the log of 'bootwave up', and at 'bootwave node list'",
            cause,
          });
        }),
      ),
    );
  } finally {
    socket.close();
  }
}

async function bootOne(socket: Socket, mac: string, signal: AbortSignal): Promise<NetBooted> {
  const offer = await exchange(socket, mac, DISCOVER, OFFER, new Map());
  const server = offer.options.get(OPTION.serverId);
  if (server === undefined) throw new Error('the offer names no server');
  const chosen = new Map([
    [OPTION.requestedAddress, ip4Bytes(offer.yiaddr)],
    [OPTION.serverId, server],
  ]);
  const { yiaddr, options } = await exchange(socket, mac, REQUEST, ACK, chosen);
  const address = formatIp4(yiaddr);
  const url = bytesText(options.get(OPTION.bootFile)) ?? '';
  if (bytesText(options.get(OPTION.vendorClass)) !== 'HTTPClient' || url === '')
    throw new Error('it was given an address, and nothing to boot');
  const response = await fetch(url, { signal });
  const bytes = Buffer.from(await response.arrayBuffer());
  // As firmware takes it: the next boot option.
  if (response.status === 404) return { address, image: null };
  if (!response.ok) throw new Error(`${url} is answered with status ${response.status}`);
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  return { address, image: { url, sha256, size: bytes.length } };
}

async function exchange(
  socket: Socket,
  mac: string,
  ask: number,
  wanted: number,
  more: ReadonlyMap<number, Uint8Array>,
): Promise<DhcpPacket> {
  const xid = randomInt(1, 2 ** 32);
  const chaddr = Buffer.from(mac.replaceAll(':', ''), 'hex');
  const packet = serialisePacket({
    ...{ op: 1, htype: 1, hops: 0, xid, secs: 0, flags: BROADCAST_FLAG },
    ...{ ciaddr: 0, yiaddr: 0, siaddr: 0, giaddr: 0, chaddr, sname: '', file: '' },
    options: new Map([
      [OPTION.messageType, Uint8Array.of(ask)],
      [OPTION.vendorClass, textBytes('HTTPClient:Arch:00016:UNDI:003001')],
      [OPTION.architecture, ARCHITECTURE],
      [OPTION.parameterList, Uint8Array.of(OPTION.subnetMask, OPTION.vendorClass, OPTION.bootFile)],
      ...more,
    ]),
  });
  const { promise, resolve } = Promise.withResolvers<DhcpPacket>();
  const hear = (bytes: Buffer) => {
    const answer = read(bytes);
    if (answer?.op === 2 && answer.xid === xid && answer.options.get(OPTION.messageType)?.[0] === wanted)
      resolve(answer);
  };
  socket.on('message', hear);
  try {
    for (let left = TRIES; ; left -= 1) {
      socket.send(packet, SERVER_PORT, '255.255.255.255');
      try {
        return await within(promise, ANSWER, 'no DHCP server has answered');
      } catch (error) {
        if (left === 1) throw error;
      }
    }
  } finally {
    socket.off('message', hear);
  }
}

/** Others on the wire may send anything. */
function read(bytes: Buffer): DhcpPacket | null {
  try {
    return parsePacket(bytes);
  } catch {
    return null;
  }
}
