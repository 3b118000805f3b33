import { ANY, formatIp4, type Ip4, sameNetwork } from '../../formats/dhcp/ip4.ts';
import { bytesText, OPTION, textBytes, u32Bytes } from '../../formats/dhcp/options.ts';
import type { BootAnswer, BootPart } from '../boot/answer.ts';
import { readBootClient } from '../boot/client.ts';
import { DHCP_LIMITS, type DhcpConfig, type Subnet } from './config.ts';
import { inPool, type Lease } from './free-addresses.ts';
import type { LeaseView } from './leases.ts';
import {
  agentOptions,
  type Decision,
  destinationOf,
  informAgent,
  isAgent,
  replyTo,
  silent,
} from './reply.ts';
import { type Arrival, type DhcpRequest, isBootFirmware, isForUs } from './request.ts';
import { type Settings, settingsOptions } from './settings.ts';

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

/** Whether this packet needs to know what the fleet wants. */
export function fullAsksFleet(request: DhcpRequest): boolean {
  return (request.type === 'discover' || request.type === 'request') && isBootFirmware(request);
}

/** The full DHCP server of RFC 2131 section 4.3, one message to one decision. Pure. */
export function decideFull(question: FullQuestion): Decision {
  const { request, config } = question;
  if (request.type === 'inform' && isAgent(request)) return informAgent(request, question.arrival, config);
  const subnet = subnetFor(request, config);
  if (subnet === undefined && request.packet.giaddr === ANY) {
    return silent('no addresses are given out on this wire itself');
  }
  if (subnet === undefined) {
    return silent(`no subnet for relay ${formatIp4(request.packet.giaddr)}`, 'DHCP_RELAY_UNKNOWN');
  }
  const key = leaseKey(request, config, question.leases, question.now);
  if (key === undefined) return silent('a client without hardware address and client identifier');
  const host = request.mac === undefined ? undefined : config.hosts.get(request.mac)?.address;
  const reserved = host !== undefined && sameNetwork(host, subnet.network, subnet.netmask) ? host : undefined;
  const settings = settingsFor(request, config, subnet);
  const client: Client = { ...question, subnet, key, reserved, settings };
  switch (request.type) {
    case 'discover':
      return discover(client);
    case 'request':
      return decideRequest(client);
    case 'release':
      return release(client);
    case 'decline':
      return decline(client);
    case 'inform':
      return inform(client);
  }
}

type Client = FullQuestion & {
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
function subnetFor({ packet, relay }: DhcpRequest, config: DhcpConfig): Subnet | undefined {
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
function isFreeFor({ leases, key, request, reserved, now }: Client, ip: Ip4): boolean {
  const holder = leases.holder(ip, now);
  if (holder === undefined || holder === key) return true;
  return ip === reserved && holder !== '' && leases.leaseAt(ip)?.mac === request.mac;
}

/**
 * Whether the configuration allows this client this address, whoever holds it and whatever an earlier configuration
 * promised: it may belong to another client now.
 */
function mayHave(client: Client, ip: Ip4): boolean {
  const { subnet, reserved } = client;
  if (reserved !== undefined && (ip === reserved || isFreeFor(client, reserved))) return ip === reserved;
  return subnet.pools.some((pool) => inPool(pool, ip));
}

function discover(client: Client): Decision {
  const { config, subnet, now, key, reserved, leases, request } = client;
  const kept = reserved !== undefined && isFreeFor(client, reserved);
  const ip = kept ? reserved : leases.choose(key, request.requested, subnet.pools, now);
  if (ip === undefined) {
    const ranges = subnet.pools.map(({ from, to }) => `${formatIp4(from)}-${formatIp4(to)}`).join(', ');
    if (reserved !== undefined) return silent(reservationLost(client, reserved), 'DHCP_RESERVATION_CONFLICT');
    return silent(
      ranges === ''
        ? 'this subnet has addresses for reserved machines only'
        : `every address of ${ranges} is in use`,
      'DHCP_POOL_EXHAUSTED',
    );
  }
  const lease = leases.leaseOf(key);
  const known = lease?.ip === ip && lease.until > now;
  const why = reserved === undefined || kept ? undefined : reservationLost(client, reserved);
  return {
    ...answer(client, 'offer', ip),
    change: { kind: 'offer', ip, key, until: now + DHCP_LIMITS.offer * 1000 },
    // Even when a relay is named: on our own wire ARP finds more than ICMP, and fills no neighbour table.
    ...(known ? {} : { probe: { ip, relayed: !sameNetwork(ip, config.serverIp, subnet.netmask) } }),
    ...(why === undefined ? {} : { note: { code: 'DHCP_RESERVATION_CONFLICT', why } }),
  };
}

function reservationLost({ leases, now, request: { mac } }: Client, reserved: Ip4): string {
  const address = formatIp4(reserved);
  return leases.holder(reserved, now) === ''
    ? `${address}, reserved for ${mac}, is used by another machine; ${mac} gets an address of the range until that is found`
    : `${address}, reserved for ${mac}, is still leased to another machine; ${mac} gets an address of the range until then`;
}

/** RFC 2131 4.3.2: three fields show which of its four states the client is in. */
function decideRequest(client: Client): Decision {
  const { request, config, key } = client;
  const { requested, serverId, packet } = request;
  if (!isForUs(request, config.serverIp)) {
    return { kind: 'change', change: { kind: 'withdraw', key }, why: 'the client chose another server' };
  }
  const state = serverId !== undefined ? 'selecting' : packet.ciaddr === ANY ? 'init-reboot' : 'renewing';
  const ip = packet.ciaddr !== ANY ? packet.ciaddr : requested;
  if (ip === undefined) return silent('a REQUEST that names no address');
  return confirm(client, state, ip);
}

function confirm(client: Client, state: 'selecting' | 'init-reboot' | 'renewing', ip: Ip4): Decision {
  const { subnet, leases, key, now } = client;
  if (!sameNetwork(ip, subnet.network, subnet.netmask))
    return nak(client, 'this address is of another network');
  const free = isFreeFor(client, ip);
  const holds = free && (leases.holder(ip, now) !== undefined || leases.leaseOf(key)?.ip === ip);
  // INIT-REBOOT without a record: "the server MUST remain silent", another server may know this client.
  if (state === 'init-reboot' && !holds && leases.leaseOf(key) === undefined) {
    return silent('no record of this client');
  }
  if (!mayHave(client, ip)) return nak(client, 'this address is not given out any more');
  // Selecting or renewing means that the address came from us: offers and, after a loss, leases may be forgotten.
  return holds || (free && state !== 'init-reboot')
    ? bind(client, ip)
    : nak(client, 'this address is not yours');
}

function bind(client: Client, ip: Ip4): Decision {
  const { request, key, now } = client;
  const lease: Lease = { ip, key, mac: request.mac ?? '', until: now + leaseSeconds(client) * 1000 };
  return { ...answer(client, 'ack', ip), change: { kind: 'record', lease } };
}

function release({ request, config, leases, key, now }: Client): Decision {
  const { ciaddr } = request.packet;
  const lease = leases.leaseOf(key);
  if (
    !isForUs(request, config.serverIp) ||
    lease === undefined ||
    lease.ip !== ciaddr ||
    lease.until <= now
  ) {
    return silent('a RELEASE of what this client does not hold here');
  }
  // Kept as an expired lease: RFC 2131 4.3.4 wants the same address for the client if it comes back.
  return {
    kind: 'change',
    change: { kind: 'record', lease: { ...lease, until: now } },
    why: `released ${formatIp4(ciaddr)}`,
  };
}

function decline({ request, config, leases, key, now, reserved }: Client): Decision {
  const { requested, mac } = request;
  if (
    !isForUs(request, config.serverIp) ||
    requested === undefined ||
    leases.holder(requested, now) !== key
  ) {
    return silent('a DECLINE of what this client does not hold here');
  }
  const { lease, why } = inConflict(requested, mac, now);
  const code = requested === reserved ? 'DHCP_RESERVATION_CONFLICT' : 'DHCP_ADDRESS_CONFLICT';
  return { kind: 'change', change: { kind: 'record', lease }, why, code };
}

/** An address that another machine uses, as a client's DECLINE or a probe shows: it is not offered for a while. */
export function inConflict(ip: Ip4, mac: string | undefined, now: number): { lease: Lease; why: string } {
  return {
    lease: { ip, key: '', mac: mac ?? '', until: now + DHCP_LIMITS.rest * 1000 },
    why: `another machine uses ${formatIp4(ip)}; it rests for ${DHCP_LIMITS.rest} s`,
  };
}

function inform(client: Client): Decision {
  const { request, arrival, config, subnet } = client;
  const { ciaddr } = request.packet;
  if (ciaddr === ANY) return silent('an INFORM without an address');
  // RFC 2131 4.3.5; the answer goes to that address, which may be anybody's.
  if (!sameNetwork(ciaddr, subnet.network, subnet.netmask)) return silent('an INFORM from another network');
  const reply = replyTo(request, {
    type: 'ack',
    serverIp: config.serverIp,
    ciaddr,
    options: networkOptions(client),
  });
  return { kind: 'reply', reply, to: destinationOf(request, arrival, reply), boot: false };
}

function nak({ request, arrival, config }: Client, why: string): Decision {
  const reply = replyTo(request, {
    type: 'nak',
    serverIp: config.serverIp,
    options: [[OPTION.message, textBytes(why)]],
  });
  return { kind: 'reply', reply, to: destinationOf(request, arrival, reply), boot: false };
}

function answer(client: Client, type: 'offer' | 'ack', yiaddr: Ip4): Decision & { kind: 'reply' } {
  const { request, arrival, config, boot } = client;
  const seconds = leaseSeconds(client);
  const part: BootPart | undefined = boot?.kind === 'boot' ? boot.part : undefined;
  const reply = replyTo(request, {
    type,
    serverIp: config.serverIp,
    yiaddr,
    ciaddr: type === 'ack' ? request.packet.ciaddr : ANY,
    options: [
      [OPTION.leaseTime, u32Bytes(seconds)],
      [OPTION.renewalTime, u32Bytes(Math.floor(seconds / 2))],
      [OPTION.rebindingTime, u32Bytes(Math.floor(seconds * 0.875))],
      ...networkOptions(client),
      ...(isAgent(request) ? agentOptions(config.serverIp, config.httpsPort) : []),
    ],
    boot: part,
  });
  return { kind: 'reply', reply, to: destinationOf(request, arrival, reply), boot: part !== undefined };
}

/** The lease time the client asked for, but at least two minutes and at most what the site allows. */
function leaseSeconds({ request, settings }: Client): number {
  const site = settings.leaseSeconds ?? DHCP_LIMITS.lease;
  const most = isBootFirmware(request) ? Math.min(site, DHCP_LIMITS.firmwareLease) : site;
  return Math.max(DHCP_LIMITS.leastLease, Math.min(request.leaseTime ?? most, most));
}

/** Settings of a host win over those of its class, then its subnet, then the global ones. */
function settingsFor(request: DhcpRequest, config: DhcpConfig, subnet: Subnet): Settings {
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

function networkOptions(client: Client): [number, Uint8Array][] {
  const parameters = client.request.packet.options.get(OPTION.parameterList);
  return settingsOptions(client.settings, client.subnet.netmask, parameters);
}
