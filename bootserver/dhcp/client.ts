/** Who asks the full DHCP server: its key, its subnet, its settings, and which addresses it may have. Pure. */
import { ANY, type Ip4, sameNetwork } from '../../formats/dhcp/ip4.ts';
import { bytesText, OPTION } from '../../formats/dhcp/options.ts';
import type { BootAnswer } from '../boot/answer.ts';
import { readBootClient } from '../boot/client.ts';
import type { DhcpConfig, Subnet } from './config.ts';
import { inPool } from './free-addresses.ts';
import type { LeaseView } from './leases.ts';
import { type Arrival, type DhcpRequest, isBootFirmware } from './request.ts';
import type { Settings } from './settings.ts';

export type FullQuestion = {
  request: DhcpRequest;
  arrival: Arrival;
  config: DhcpConfig;
  leases: LeaseView;
  /** The boot decision, for boot firmware. */
  boot: BootAnswer | undefined;
  /** Milliseconds since the epoch. */
  now: number;
};

export type Client = FullQuestion & {
  subnet: Subnet;
  key: string;
  /** The address reserved for this machine, if its subnet has one. */
  reserved: Ip4 | undefined;
  settings: Settings;
};

/**
 * Who a client is: option 61, else its hardware address (RFC 2131 4.2). Boot firmware and reserved machines go by
 * hardware address even when they send 61: firmware puts the SMBIOS UUID there, boards with equal UUIDs exist, and so
 * ROM, iPXE and a reserved machine's system share one address. `01` + MAC is the same as no client identifier.
 *
 * Firmware says that it is firmware (option 60) in DISCOVER and REQUEST only. A message about an address that its own
 * card holds therefore belongs to that holder, whatever identifier it carries. Otherwise DECLINE and RELEASE would seem
 * to come from an unknown client, and so would renewals after a reservation was removed.
 */
export function leaseKey(
  request: DhcpRequest,
  { hosts }: Pick<DhcpConfig, 'hosts'>,
  leases: Pick<LeaseView, 'holder'>,
  now: number,
): string | undefined {
  const { mac, clientId } = request;
  const byHardware = hardwareKey(request);
  if (mac !== undefined && (isBootFirmware(request) || hosts.get(mac)?.address !== undefined))
    return byHardware;
  if (clientId === undefined || byHardware === undefined) return clientId ?? byHardware;
  const about = addressAskedAbout(request);
  return about !== undefined && leases.holder(about, now) === byHardware ? byHardware : clientId;
}

function hardwareKey({ mac, packet: { htype, chaddr } }: DhcpRequest): string | undefined {
  if (mac !== undefined) return `01${mac.replaceAll(':', '')}`;
  if (chaddr.length === 0 || chaddr.every((byte) => byte === 0)) return undefined;
  return `${htype.toString(16).padStart(2, '0')}${Buffer.from(chaddr).toString('hex')}`;
}

/** The address that a client says it has or was just offered; not the one that it would like to have. */
function addressAskedAbout({ type, packet, requested, serverId }: DhcpRequest): Ip4 | undefined {
  if (type === 'discover') return undefined;
  if (type === 'decline') return requested;
  if (packet.ciaddr !== ANY) return packet.ciaddr;
  return serverId === undefined ? undefined : requested;
}

/** RFC 2131 4.3.1: by giaddr, or by what a relay says of its subnet. */
export function subnetFor({ packet, relay }: DhcpRequest, config: DhcpConfig): Subnet | undefined {
  if (packet.giaddr === ANY) {
    // A renewal by unicast from behind a relay carries no giaddr, only the client's address.
    const own = config.subnets.find(
      (s) => packet.ciaddr !== ANY && sameNetwork(s.network, packet.ciaddr, s.netmask),
    );
    return own ?? config.subnets.find((s) => sameNetwork(s.network, config.serverIp, s.netmask));
  }
  const link = relay.link ?? packet.giaddr;
  const named = config.subnets.find(
    ({ relays }) => relay.link === undefined && relays.includes(packet.giaddr),
  );
  return named ?? config.subnets.find((subnet) => sameNetwork(subnet.network, link, subnet.netmask));
}

/**
 * Whether nobody else has it: it is free, the client's own, or reserved for this machine, which leases it under another
 * identifier.
 */
export function isFreeFor({ leases, key, request, reserved, now }: Client, ip: Ip4): boolean {
  const holder = leases.holder(ip, now);
  if (holder === undefined || holder === key) return true;
  return ip === reserved && holder !== '' && leases.leaseAt(ip)?.mac === request.mac;
}

/**
 * Whether the configuration allows this client this address, whoever holds it and whatever an earlier configuration
 * promised: it may belong to another client now.
 */
export function mayHave(client: Client, ip: Ip4): boolean {
  const { subnet, reserved } = client;
  if (reserved !== undefined && (ip === reserved || isFreeFor(client, reserved))) return ip === reserved;
  return subnet.pools.some((pool) => inPool(pool, ip));
}

/** Settings of a host win over those of its class, then its subnet, then the global ones. */
export function settingsFor(request: DhcpRequest, config: DhcpConfig, subnet: Subnet): Settings {
  const { options } = request.packet;
  const architecture = readBootClient(options)?.firmware.name;
  const begins = (code: number, start: string | undefined) =>
    start === undefined || bytesText(options.get(code))?.startsWith(start) === true;
  const classes = config.classes.filter(
    (one) =>
      begins(OPTION.vendorClass, one.vendorClass) &&
      begins(OPTION.userClass, one.userClass) &&
      (one.architecture === undefined || one.architecture === architecture),
  );
  const host = request.mac === undefined ? undefined : config.hosts.get(request.mac);
  const all = [config.settings, subnet.settings, ...classes.map(({ settings }) => settings), host?.settings];
  return Object.assign({}, ...all) as Settings;
}
