import { ANY, formatIp4, type Ip4, ip4Bytes, sameNetwork } from '../../formats/dhcp/ip4.ts';
import { OPTION, optionU32, readSubOptions, textBytes, u32Bytes } from '../../formats/dhcp/options.ts';
import type { BootAnswer, BootPart } from '../boot/answer.ts';
import type { DhcpConfig, Subnet } from './config.ts';
import type { Lease, LeaseView } from './leases.ts';
import {
  agentOptions,
  type Decision,
  destinationOf,
  informAgent,
  isAgent,
  replyTo,
  silent,
} from './reply.ts';
import { type Arrival, type DhcpRequest, isBootFirmware } from './request.ts';

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
  if (subnet === undefined) {
    return silent(`no subnet for relay ${formatIp4(request.packet.giaddr)}`, 'DHCP_RELAY_UNKNOWN');
  }
  const key = leaseKey(request, config);
  if (key === undefined) return silent('a client without hardware address and client identifier');
  const client: Client = { ...question, subnet, key };
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

type Client = FullQuestion & { subnet: Subnet; key: string };

/**
 * Who a client is: option 61, else its hardware address (RFC 2131 4.2). Boot firmware and reserved machines go by
 * hardware address even when they send 61: firmware puts the SMBIOS UUID there, boards with equal UUIDs exist, and so
 * ROM, iPXE and a reserved machine's system share one address. `01` + MAC is the same as no client identifier.
 */
export function leaseKey(request: DhcpRequest, config: Pick<DhcpConfig, 'reservations'>): string | undefined {
  const { mac, clientId } = request;
  const byHardware = mac === undefined ? undefined : `01${mac.replaceAll(':', '')}`;
  if (mac !== undefined && (isBootFirmware(request) || config.reservations.has(mac))) return byHardware;
  if (clientId !== undefined) return clientId;
  if (byHardware !== undefined) return byHardware;
  const { htype, chaddr } = request.packet;
  if (chaddr.length === 0 || chaddr.every((byte) => byte === 0)) return undefined;
  return `${htype.toString(16).padStart(2, '0')}${Buffer.from(chaddr).toString('hex')}`;
}

/** RFC 2131 4.3.1: by giaddr, or by the link selection (RFC 3527) that a relay put into option 82. */
function subnetFor(request: DhcpRequest, config: DhcpConfig): Subnet | undefined {
  const { packet } = request;
  if (packet.giaddr === ANY) {
    // A renewal by unicast from behind a relay carries no giaddr, only the client's address.
    const own = config.subnets.find(
      (s) => packet.ciaddr !== ANY && sameNetwork(s.network, packet.ciaddr, s.netmask),
    );
    return own ?? config.subnets[0];
  }
  const relay = readSubOptions(packet.options.get(OPTION.relayAgent) ?? new Uint8Array());
  const link = optionU32(relay, 5) ?? packet.giaddr;
  return config.subnets.find((subnet) => sameNetwork(subnet.network, link, subnet.netmask));
}

/** The address that this client may have: its reservation and nothing else, or one of the range. */
function addressFor(client: Client): Ip4 | undefined {
  const { config, subnet, leases, key, request, now } = client;
  const reserved = request.mac === undefined ? undefined : config.reservations.get(request.mac);
  if (reserved !== undefined && sameNetwork(reserved, subnet.network, subnet.netmask)) {
    const holder = leases.holder(reserved, now);
    return holder === undefined || holder === key ? reserved : undefined;
  }
  return leases.choose(
    key,
    request.requested,
    { from: subnet.from, to: subnet.to, taken: config.taken },
    now,
  );
}

function discover(client: Client): Decision {
  const { config, subnet, now, key } = client;
  const ip = addressFor(client);
  if (ip === undefined) {
    return silent(
      `every address of ${formatIp4(subnet.from)}-${formatIp4(subnet.to)} is in use`,
      'DHCP_POOL_EXHAUSTED',
    );
  }
  return {
    ...answer(client, 'offer', ip),
    change: { kind: 'offer', ip, key, until: now + config.offerSeconds * 1000 },
  };
}

/** RFC 2131 4.3.2: which of its four states the client is in shows in three fields. */
function decideRequest(client: Client): Decision {
  const { request, config, key } = client;
  const { requested, serverId, packet } = request;
  if (serverId !== undefined && serverId !== config.serverIp) {
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
  const holder = leases.holder(ip, now);
  const own = leases.leaseOf(key);
  if (holder === key || (holder === undefined && own?.ip === ip)) return bind(client, ip);
  // INIT-REBOOT without a record: "the server MUST remain silent", another server may know this client.
  if (state === 'init-reboot' && own === undefined) return silent('no record of this client');
  // Selecting or renewing says that the address came from us: offers and, after a loss, leases may be forgotten.
  if (state !== 'init-reboot' && holder === undefined && mayHave(client, ip)) return bind(client, ip);
  return nak(client, 'this address is not yours');
}

function mayHave(client: Client, ip: Ip4): boolean {
  const { config, subnet, request } = client;
  const reserved = request.mac === undefined ? undefined : config.reservations.get(request.mac);
  if (reserved !== undefined) return reserved === ip;
  return ip >= subnet.from && ip <= subnet.to && !config.taken.has(ip);
}

function bind(client: Client, ip: Ip4): Decision {
  const { request, key, now } = client;
  const lease: Lease = { ip, key, mac: request.mac ?? '', until: now + leaseSeconds(client) * 1000 };
  return { ...answer(client, 'ack', ip), change: { kind: 'record', lease } };
}

function release({ request, config, leases, key, now }: Client): Decision {
  const { ciaddr } = request.packet;
  const lease = leases.leaseOf(key);
  const forUs = request.serverId === undefined || request.serverId === config.serverIp;
  if (!forUs || lease === undefined || lease.ip !== ciaddr || lease.until <= now) {
    return silent('a RELEASE of what this client does not hold here');
  }
  // Kept as an expired lease: RFC 2131 4.3.4 wants the same address for the client if it comes back.
  return {
    kind: 'change',
    change: { kind: 'record', lease: { ...lease, until: now } },
    why: `released ${formatIp4(ciaddr)}`,
  };
}

function decline({ request, config, leases, key, now }: Client): Decision {
  const { requested, serverId, mac } = request;
  const forUs = serverId === undefined || serverId === config.serverIp;
  if (!forUs || requested === undefined || leases.holder(requested, now) !== key) {
    return silent('a DECLINE of what this client does not hold here');
  }
  const until = now + config.declineSeconds * 1000;
  return {
    kind: 'change',
    change: { kind: 'record', lease: { ip: requested, key: '', mac: mac ?? '', until } },
    why: `another machine uses ${formatIp4(requested)}; it rests for ${config.declineSeconds} s`,
    code: 'DHCP_ADDRESS_CONFLICT',
  };
}

function inform(client: Client): Decision {
  const { request, arrival, config } = client;
  if (request.packet.ciaddr === ANY) return silent('an INFORM without an address');
  const reply = replyTo(request, {
    type: 'ack',
    serverIp: config.serverIp,
    ciaddr: request.packet.ciaddr,
    options: networkOptions(client.subnet),
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
  const { request, arrival, config, subnet, boot } = client;
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
      ...networkOptions(subnet),
      ...(isAgent(request) ? agentOptions(config.serverIp, config.httpsPort) : []),
    ],
    boot: part,
  });
  return { kind: 'reply', reply, to: destinationOf(request, arrival, reply), boot: part !== undefined };
}

/** What the client asked for, between two minutes and what the site allows. */
function leaseSeconds({ request, config }: Client): number {
  const most = isBootFirmware(request) ? config.firmwareLeaseSeconds : config.leaseSeconds;
  return Math.max(120, Math.min(request.leaseTime ?? most, most));
}

function networkOptions(subnet: Subnet): [number, Uint8Array][] {
  const options: [number, Uint8Array][] = [[OPTION.subnetMask, ip4Bytes(subnet.netmask)]];
  if (subnet.router !== undefined) options.push([OPTION.router, ip4Bytes(subnet.router)]);
  if (subnet.dns.length > 0) options.push([OPTION.dns, ip4Bytes(...subnet.dns)]);
  if (subnet.ntp.length > 0) options.push([OPTION.ntp, ip4Bytes(...subnet.ntp)]);
  if (subnet.domain !== undefined) options.push([OPTION.domainName, textBytes(subnet.domain)]);
  return options;
}
