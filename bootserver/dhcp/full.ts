import { ANY, formatIp4, type Ip4, sameNetwork } from '../../formats/dhcp/ip4.ts';
import { OPTION, textBytes, u32Bytes } from '../../formats/dhcp/options.ts';
import type { BootPart } from '../boot/answer.ts';
import {
  type Client,
  type FullQuestion,
  isFreeFor,
  leaseKey,
  mayHave,
  settingsFor,
  subnetFor,
} from './client.ts';
import { DHCP_LIMITS } from './config.ts';
import type { Lease } from './free-addresses.ts';
import {
  agentOptions,
  type Decision,
  destinationOf,
  informAgent,
  isAgent,
  replyTo,
  silent,
} from './reply.ts';
import { type DhcpRequest, isBootFirmware, isForUs } from './request.ts';
import { settingsOptions } from './settings.ts';

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

function networkOptions(client: Client): [number, Uint8Array][] {
  const parameters = client.request.packet.options.get(OPTION.parameterList);
  return settingsOptions(client.settings, client.subnet.netmask, parameters);
}
