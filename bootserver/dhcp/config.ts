import { BootwaveError } from '../../base/error.ts';
import { formatIp4, type Ip4, parseIp4, sameNetwork } from '../../formats/dhcp/ip4.ts';

/** One IPv4 subnet that addresses are given out on. */
export type SubnetInput = {
  /** Any address of the subnet; for the local one the server's own is taken. */
  network: string;
  netmask: string;
  range: { from: string; to: string };
  router?: string;
  dns?: readonly string[];
  /** Time servers. */
  ntp?: readonly string[];
  domain?: string;
};

export type DhcpInput = {
  /** The boot interface's address: server identifier, and the host of every URL. */
  serverIp: string;
  /** True: another server gives the addresses, this one only adds the boot part (PXE 2.1 proxyDHCP). */
  proxy: boolean;
  httpPort: number;
  httpsPort: number;
  /** The local subnet; not needed by a proxy. */
  subnet?: Omit<SubnetInput, 'network'>;
  /** Subnets behind relay agents. */
  relayed?: readonly SubnetInput[];
  /** Seconds; default 12 h. At least 120. */
  leaseSeconds?: number;
  /** MAC (lower case, colons) -> address that only this machine gets. */
  reservations?: Readonly<Record<string, string>>;
};

export type Subnet = {
  network: Ip4;
  netmask: Ip4;
  from: Ip4;
  to: Ip4;
  router: Ip4 | undefined;
  dns: readonly Ip4[];
  ntp: readonly Ip4[];
  domain: string | undefined;
};

export type DhcpConfig = {
  serverIp: Ip4;
  httpPort: number;
  httpsPort: number;
  /** The local one first. Empty for a proxy. */
  subnets: readonly Subnet[];
  leaseSeconds: number;
  /**
   * Firmware's leases: long enough for a slow download and never renewed, so that a rack's worth of restarts does not
   * hold addresses for half a day.
   */
  firmwareLeaseSeconds: number;
  /** How long an offer keeps its address; no client waits longer for its own REQUEST. */
  offerSeconds: number;
  /** How long a declined address rests: whoever squats on it should be found by then. */
  declineSeconds: number;
  reservations: ReadonlyMap<string, Ip4>;
  /** Addresses that are never given out: ours, the routers', and what is reserved. */
  taken: ReadonlySet<Ip4>;
};

const wrong = (what: string, next: string) =>
  new BootwaveError({ code: 'DHCP_CONFIG', what, unchanged: 'the DHCP server was not started', next });

/** @throws BootwaveError `DHCP_CONFIG` naming the value that does not fit */
export function dhcpConfig(input: DhcpInput): DhcpConfig {
  const serverIp = parseIp4(input.serverIp);
  const leaseSeconds = input.leaseSeconds ?? 12 * 3600;
  if (!Number.isInteger(leaseSeconds) || leaseSeconds < 120 || leaseSeconds > 0x7fffffff) {
    throw wrong(`a lease of ${leaseSeconds} seconds cannot be given`, 'use 120 seconds or more');
  }
  if (!input.proxy && input.subnet === undefined) {
    throw wrong('a full DHCP server needs an address range', 'give a range, or run as a proxy');
  }
  const subnets = input.proxy
    ? []
    : [{ ...input.subnet!, network: input.serverIp }, ...(input.relayed ?? [])].map(subnetOf);
  const reservations = new Map(
    Object.entries(input.reservations ?? {}).map(([mac, ip]) => [reservedMac(mac), parseIp4(ip)]),
  );
  for (const [mac, ip] of reservations) {
    if (!input.proxy && !subnets.some((subnet) => sameNetwork(subnet.network, ip, subnet.netmask))) {
      throw wrong(
        `the address ${formatIp4(ip)} reserved for ${mac} is in no subnet`,
        'correct the reservation',
      );
    }
  }
  return {
    serverIp,
    httpPort: input.httpPort,
    httpsPort: input.httpsPort,
    subnets,
    leaseSeconds,
    firmwareLeaseSeconds: Math.min(leaseSeconds, 3600),
    offerSeconds: 15,
    declineSeconds: 3600,
    reservations,
    taken: new Set([serverIp, ...subnets.flatMap((s) => s.router ?? []), ...reservations.values()]),
  };
}

function reservedMac(mac: string): string {
  if (/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/.test(mac)) return mac;
  throw wrong(`${JSON.stringify(mac)} is not a MAC address`, 'write it as 52:54:00:aa:bb:cc');
}

function subnetOf(input: SubnetInput): Subnet {
  const netmask = parseIp4(input.netmask);
  const hosts = ~netmask >>> 0;
  if ((hosts & (hosts + 1)) !== 0 || hosts < 3) {
    throw wrong(`${input.netmask} is not a netmask with room for clients`, 'use e.g. 255.255.255.0');
  }
  const network = (parseIp4(input.network) & netmask) >>> 0;
  const from = parseIp4(input.range.from);
  const to = parseIp4(input.range.to);
  if (from > to || from <= network || to >= network + hosts) {
    throw wrong(
      `the range ${input.range.from}-${input.range.to} does not lie in ${formatIp4(network)}/${input.netmask}`,
      'choose a range of the subnet without its first and last address',
    );
  }
  if (to - from >= 65536) throw wrong('the range holds more than 65536 addresses', 'choose a smaller one');
  return {
    network,
    netmask,
    from,
    to,
    router: input.router === undefined ? undefined : parseIp4(input.router),
    dns: (input.dns ?? []).map(parseIp4),
    ntp: (input.ntp ?? []).map(parseIp4),
    domain: input.domain,
  };
}
