/**
 * The boot server's sockets, each bound to one network interface: what arrives at another interface is never seen, and
 * nothing leaves by another. The helper that opens them (wire-helper.ts) stays for as long as they are used.
 */
import type { Socket } from 'node:dgram';
import { readFile } from 'node:fs/promises';
import type { ListenOptions } from 'node:net';
import type { BootwaveError } from '../base/error.ts';
import { parseIp6 } from '../formats/dhcp6/ip6.ts';
import { linkLocal } from './boot/ipxe-ipv6.ts';
import { isWithin, prefixOf } from './dhcp6/prefix.ts';
import {
  type InterfaceAddress,
  interfaceAddress,
  interfaceAddress6,
  type Served,
  watchInterface,
} from './interface.ts';
import { type Probe, type Wanted, WireHelper } from './wire-helper.ts';

export type SocketSpec = {
  /** Name of the interface, e.g. `eth1`. */
  interface: string;
  /** One of the interface's IPv4 addresses; its first when left out. */
  address?: string;
  httpPort: number;
  httpsPort: number;
  /** UEFI HTTP Boot over IPv6 is served, too. */
  ipv6?: Ipv6Spec | undefined;
};

export type Ipv6Spec = {
  /** One of the interface's IPv6 addresses; when left out, one of the prefixes, else any that is no link-local one. */
  address?: string | undefined;
  /** See `Dhcp6Input`. */
  prefixes: readonly string[];
};

/** What `server.listen()` takes: a socket that already listens in the kernel and has not lost a connection. */
export type ListenHandle = { _handle: ListenOptions };

export type BootSockets = InterfaceAddress & {
  interface: string;
  /** UDP 67 and 4011 on 0.0.0.0, so that broadcasts arrive. */
  dhcp: Socket;
  pxe: Socket;
  /** UDP 69 on the interface's address. */
  tftp: Socket;
  /** `server.listen(sockets.http)`; with fastify `await app.ready(); app.server.listen(sockets.https)`. */
  http: ListenHandle;
  https: ListenHandle;
  /** Where IPv6 is served: UDP 547 on `::` as a member of the groups of DHCPv6 servers, HTTP on the address. */
  ipv6: { address: string; dhcp: Socket; http: ListenHandle } | undefined;
  /**
   * A UDP socket of its own for one TFTP transfer: on the interface's address, bound to the device, on a port that the
   * kernel chooses. The caller closes it.
   * @param segment see `Wanted`; 0 by default, which is none
   * @throws BootwaveError `SOCKETS_FAILED` (out of descriptors, say), `INTERFACE_MISSING`
   */
  transferSocket(segment?: number): Promise<Socket>;
  /** MTU of the interface now, bytes; NaN when it is unknown. */
  mtu(): Promise<number>;
  /** Is an address of this wire, or behind a relay, in use? See `WireHelper.probe`. */
  probe(probe: Omit<Probe, 'from'> & { relayed: boolean }): Promise<string | undefined>;
  /** Spares the iPXE of this machine its wait for an IPv6 router. @param mac lower case with colons */
  spareRouterWait(mac: string): void;
  /**
   * Resolves once the sockets receive nothing any more, because the interface or address is gone: close everything that
   * uses them, then open them again.
   */
  lost: Promise<BootwaveError>;
  /** Closes whatever of these is still open. Idempotent. */
  close(): Promise<void>;
};

/**
 * All sockets or none.
 * @param onLink called when the link goes down and comes up
 * @throws BootwaveError `INTERFACE_MISSING`, `INTERFACE_NO_ADDRESS`, `PORT_IN_USE`, `NOT_ROOT`, `SOCKETS_FAILED`
 */
export async function openSockets(
  spec: SocketSpec,
  signal?: AbortSignal,
  onLink: (carrier: boolean) => void = () => {},
): Promise<BootSockets> {
  // Checked before the helper is started, so that a wrong name is reported at once.
  await addressesOf(spec);
  const helper = await WireHelper.start(spec.interface, signal);
  try {
    // Checked again now that the helper watches: every later change is noticed.
    const found = await addressesOf(spec);
    const { address, netmask, address6 } = found;
    const wanted: Wanted[] = [
      { name: 'dhcp', protocol: 'udp', address: '0.0.0.0', port: 67 },
      { name: 'pxe', protocol: 'udp', address: '0.0.0.0', port: 4011 },
      { name: 'tftp', protocol: 'udp', address, port: 69 },
      { name: 'http', protocol: 'tcp', address, port: spec.httpPort },
      { name: 'https', protocol: 'tcp', address, port: spec.httpsPort },
    ];
    if (address6 !== undefined) {
      wanted.push({ name: 'dhcp6', protocol: 'udp', address: '::', port: 547 });
      wanted.push({ name: 'http6', protocol: 'tcp', address: address6, port: spec.httpPort });
    }
    const got = await helper.open(wanted);
    const closed = new AbortController();
    if (signal?.aborted === true) {
      for (const one of got.values()) closeQuietly(one);
      signal.throwIfAborted();
    }
    return {
      address,
      netmask,
      interface: spec.interface,
      dhcp: got.get('dhcp') as Socket,
      pxe: got.get('pxe') as Socket,
      tftp: got.get('tftp') as Socket,
      http: { _handle: got.get('http') as ListenOptions },
      https: { _handle: got.get('https') as ListenOptions },
      ipv6:
        address6 === undefined
          ? undefined
          : {
              address: address6,
              dhcp: memberOfServers(got.get('dhcp6') as Socket, spec.interface),
              http: { _handle: got.get('http6') as ListenOptions },
            },
      transferSocket: (segment) => helper.openUdp('transfer', address, 0, segment),
      mtu: async () =>
        Number(await readFile(`/sys/class/net/${spec.interface}/mtu`, 'utf8').catch(() => 'NaN')),
      probe: ({ relayed, ...probe }) => helper.probe({ ...probe, from: relayed ? undefined : address }),
      spareRouterWait: (mac) => helper.advertise(linkLocal(mac)),
      lost: watchInterface(helper, found, { onLink, signal: closed.signal }),
      close: async () => {
        closed.abort();
        for (const one of got.values()) closeQuietly(one);
        await helper.close();
      },
    };
  } catch (error) {
    await helper.close();
    throw error;
  }
}

async function addressesOf({ interface: name, address, ipv6 }: SocketSpec): Promise<Served> {
  const found = await interfaceAddress(name, address);
  return ipv6 === undefined ? found : { ...found, address6: await servedAddress6(name, ipv6) };
}

/** The IPv6 address on which an interface is served. @throws BootwaveError `INTERFACE_MISSING`, `INTERFACE_NO_ADDRESS` */
export function servedAddress6(name: string, ipv6: Ipv6Spec): Promise<string> {
  const prefixes = ipv6.prefixes.flatMap((text) => prefixOf(text) ?? []);
  const isServed = (one: string) => prefixes.some((prefix) => isWithin(prefix, parseIp6(one)));
  return interfaceAddress6(name, ipv6.address, isServed);
}

/** RFC 8415 7.1: where clients and relays on the wire, and relays of the site, look for servers. */
function memberOfServers(socket: Socket, device: string): Socket {
  for (const group of ['ff02::1:2', 'ff05::1:3']) socket.addMembership(group, `::%${device}`);
  return socket;
}

/** dgram's `close` throws on a socket that is closed already; a handle that a server took over is closed by it too. */
function closeQuietly(one: unknown): void {
  try {
    (one as { close(): void }).close();
  } catch {
    // It is closed, which is what was wanted.
  }
}

/**
 * One UDP socket on all addresses that receives only from `device`, for a client of DHCP (68) or DHCPv6 (546). It shares its port, so that it works
 * beside a DHCP client of this machine; never use it for a server.
 * @throws BootwaveError `INTERFACE_MISSING`, `PORT_IN_USE`, `NOT_ROOT`, `SOCKETS_FAILED`
 */
export async function openClientUdp(device: string, port: 68 | 546, signal?: AbortSignal): Promise<Socket> {
  const helper = await WireHelper.start(device, signal);
  try {
    const address = port === 546 ? '::' : '0.0.0.0';
    const got = await helper.open([{ name: 'client', protocol: 'udp', address, port, shared: true }]);
    return got.get('client') as Socket;
  } finally {
    await helper.close();
  }
}
