/** What a DHCPv6 message leads to. Pure, and without state: whatever was forgotten is said again in the same way. */
import { textBytes } from '../../formats/dhcp/options.ts';
import { type Association, writeAssociation } from '../../formats/dhcp6/identity.ts';
import { formatIp6, type Ip6, parseIp6, sameBytes } from '../../formats/dhcp6/ip6.ts';
import { OPTION6, type Options6, writeVendorClass } from '../../formats/dhcp6/options.ts';
import { MESSAGE6, type Packet6 } from '../../formats/dhcp6/packet.ts';
import type { BootDecision } from '../boot/answer.ts';
import type { Role } from '../boot/quirks.ts';
import { type Dhcp6Config, FIRMWARE_ADDRESS } from './config.ts';
import { addressOf, isWithin, type Prefix } from './prefix.ts';
import type { Request6 } from './request.ts';

export type Decision6 =
  | { kind: 'reply'; reply: Packet6; address: Ip6 | undefined; note?: { code: string; why: string } }
  | { kind: 'silent'; why: string; code?: string };

/** RFC 8415 21.13. */
const STATUS = { noAddresses: 2 } as const;
/** The highest (RFC 8415 21.8): firmware takes this offer at once, and does not wait for others. */
const AT_ONCE = 255;

/** Where the machine's address comes from: this server, or another DHCPv6 server on its link. */
export function role6(request: Request6, config: Dhcp6Config): Role & ('full' | 'proxy') {
  return prefixFor(request, config) === undefined ? 'proxy' : 'full';
}

/** Whether this message needs to know what the fleet wants, so that the fleet is not asked in vain. */
export function asksFleet6(request: Request6, config: Dhcp6Config): boolean {
  return whySilent(request, config) === undefined && !ends(request);
}

/** @param boot for what `asksFleet6` said yes to */
export function decide6(request: Request6, config: Dhcp6Config, boot: BootDecision | undefined): Decision6 {
  const silence = whySilent(request, config);
  if (silence !== undefined) return { kind: 'silent', ...silence };
  if (ends(request)) return ended(request, config);
  const prefix = request.type === 'information' ? undefined : prefixFor(request, config);
  const part = boot?.kind === 'boot' ? bootOptions(request, boot.file) : [];
  if (prefix === undefined && part.length === 0)
    return { kind: 'silent', why: boot?.detail ?? 'no boot decision' };
  const address = prefix === undefined ? undefined : addressOf(prefix, request.mac!);
  const options = [...part, ...(address === undefined ? [] : addressOptions(request, address))];
  const type = request.type === 'solicit' ? MESSAGE6.advertise : MESSAGE6.reply;
  return { kind: 'reply', reply: replyTo(request, config, type, options), address };
}

function prefixFor(request: Request6, config: Dhcp6Config): Prefix | undefined {
  const link = request.link ?? parseIp6(config.serverIp);
  return config.prefixes.find((prefix) => isWithin(prefix, link));
}

/** RFC 8415 16: which messages a server must not answer; and what is not for this one. */
function whySilent(request: Request6, config: Dhcp6Config): { why: string; code?: string } | undefined {
  const { type, clientId, serverId, boot, mac } = request;
  if (clientId === undefined) return { why: 'no client identifier: nobody to answer' };
  if (serverId !== undefined && !sameBytes(serverId, config.duid)) return { why: 'for another server' };
  const forAll = type === 'solicit' || type === 'rebind' || type === 'information';
  if ((type === 'solicit' || type === 'rebind') && serverId !== undefined)
    return { why: `a ${type} that names a server` };
  if (!forAll && serverId === undefined) return { why: `a ${type} that names no server` };
  // What ends an exchange with this server does not repeat who the client is.
  if (ends(request)) return undefined;
  if (boot?.client.firmware.way !== 'uefi-http') return { why: 'not UEFI HTTP Boot: not for a boot server' };
  if (mac === undefined) {
    const why = 'a machine asks to be booted over IPv6, and nothing says its MAC address';
    return { why, code: 'DHCP6_MAC_UNKNOWN' };
  }
  const gives = prefixFor(request, config) !== undefined;
  if (!gives && (type === 'request' || type === 'renew'))
    return { why: 'this server gives no address on that link' };
  if (type === 'rebind' && asked(request, config) === undefined)
    return { why: 'an address that another server gave' };
  return undefined;
}

/** The client is done with its address, or found that another machine has it. */
function ends({ type }: Request6): boolean {
  return type === 'release' || type === 'decline';
}

/** The machine's own address, where this server gives it and the message names it. */
function asked(request: Request6, config: Dhcp6Config): Ip6 | undefined {
  const prefix = prefixFor(request, config);
  if (prefix === undefined || request.mac === undefined) return undefined;
  const ours = addressOf(prefix, request.mac);
  const named = request.associations.some(({ addresses }) => addresses.some(({ ip }) => sameBytes(ip, ours)));
  return named ? ours : undefined;
}

/** RFC 8415 18.3.7 and 18.3.8. There is nothing to free or to mark: the address belongs to this machine alone. */
function ended(request: Request6, config: Dhcp6Config): Decision6 {
  const reply = replyTo(request, config, MESSAGE6.reply, []);
  // Anybody may say this of any address, the server's own too: only what the machine got here is worth a line.
  const ip = request.type === 'decline' ? asked(request, config) : undefined;
  if (ip === undefined) return { kind: 'reply', reply, address: undefined };
  const why = `a machine found ${formatIp6(ip)}, which is its own, in use by another one: do two have one MAC address?`;
  return { kind: 'reply', reply, address: undefined, note: { code: 'DHCP6_ADDRESS_CONFLICT', why } };
}

function replyTo(request: Request6, config: Dhcp6Config, type: number, options: Options6): Packet6 {
  const { clientId, packet } = request;
  return {
    type,
    xid: packet.xid,
    options: [[OPTION6.clientId, clientId!], [OPTION6.serverId, config.duid], ...options],
    // RFC 8415 19.3: as it came, with what the relay needs to find the client again.
    relays: packet.relays.map((relay) => ({
      ...relay,
      options: relay.options.filter(([code]) => code === OPTION6.interfaceId),
    })),
  };
}

/**
 * EDK2 reads the URL up to the next zero byte, past the option's end: it must not be the last one. The code of the
 * vendor class behind it begins with such a byte.
 */
function bootOptions({ boot }: Request6, url: string | undefined): Options6 {
  if (boot === undefined || url === undefined) return [];
  const { enterprise } = boot;
  return [
    [OPTION6.bootFileUrl, textBytes(url)],
    [OPTION6.vendorClass, writeVendorClass({ enterprise, pieces: [textBytes('HTTPClient')] })],
  ];
}

/** One address for a machine: what it asks for beside it gets none. */
function addressOptions({ type, associations }: Request6, ip: Ip6): Options6 {
  const { renew, rebind, valid } = FIRMWARE_ADDRESS;
  const given = associations.map(({ iaid }, i): Options6[number] => {
    const association: Association =
      i === 0
        ? { iaid, t1: renew, t2: rebind, addresses: [{ ip, preferred: valid, valid }] }
        : { iaid, t1: 0, t2: 0, addresses: [], status: STATUS.noAddresses };
    return [OPTION6.iaNa, writeAssociation(association)];
  });
  return type === 'solicit' ? [...given, [OPTION6.preference, Uint8Array.of(AT_ONCE)]] : given;
}
