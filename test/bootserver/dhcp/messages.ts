import type { BootAnswer } from '../../../bootserver/boot/answer.ts';
import { type DhcpConfig, dhcpConfig } from '../../../bootserver/dhcp/config.ts';
import { decideFull, fullAsksFleet } from '../../../bootserver/dhcp/full.ts';
import type { DhcpInput, SubnetInput } from '../../../bootserver/dhcp/input.ts';
import { LeaseTable } from '../../../bootserver/dhcp/leases.ts';
import type { Decision } from '../../../bootserver/dhcp/reply.ts';
import {
  type Arrival,
  type DhcpRequest,
  MESSAGE,
  type RequestType,
  readRequest,
} from '../../../bootserver/dhcp/request.ts';
import { formatIp4, ip4Bytes, parseIp4 } from '../../../formats/dhcp/ip4.ts';
import { bytesText, OPTION, optionU32, textBytes } from '../../../formats/dhcp/options.ts';
import { type DhcpPacket, parsePacket, serialisePacket } from '../../../formats/dhcp/packet.ts';

export const SERVER = '10.0.0.1';

/** A client's message, for machine number `n` (its MAC ends in it). */
export function message(type: RequestType, n: number, parts: MessageParts = {}): DhcpPacket {
  const options = new Map<number, Uint8Array>([[OPTION.messageType, Uint8Array.of(MESSAGE[type])]]);
  if (parts.requested !== undefined)
    options.set(OPTION.requestedAddress, ip4Bytes(parseIp4(parts.requested)));
  if (parts.serverId !== undefined) options.set(OPTION.serverId, ip4Bytes(parseIp4(parts.serverId)));
  if (parts.vendorClass !== undefined) options.set(OPTION.vendorClass, textBytes(parts.vendorClass));
  for (const [code, value] of parts.options ?? []) options.set(code, value);
  return {
    op: 1,
    htype: 1,
    hops: 0,
    xid: 0x1000 + n,
    secs: 0,
    flags: 0,
    ciaddr: parseIp4(parts.ciaddr ?? '0.0.0.0'),
    yiaddr: 0,
    siaddr: 0,
    giaddr: parseIp4(parts.giaddr ?? '0.0.0.0'),
    chaddr: Uint8Array.of(0x52, 0x54, 0, 0, n >> 8, n & 255),
    sname: '',
    file: '',
    options,
  };
}

export type MessageParts = {
  requested?: string;
  serverId?: string;
  ciaddr?: string;
  giaddr?: string;
  vendorClass?: string;
  options?: readonly (readonly [number, Uint8Array])[];
};

/** Through bytes and back, as the server would read it. */
export function asRequest(packet: DhcpPacket): DhcpRequest {
  const request = readRequest(parsePacket(serialisePacket(packet)));
  if (request === undefined) throw new Error('not a request');
  return request;
}

export function arrivalOn(port: 67 | 4011, address = '0.0.0.0', from = 68): Arrival {
  return { port, from: { address: parseIp4(address), port: from } };
}

/** A full server without a wire: every decision is applied, time stands still until told otherwise. */
export function rig(extra: Partial<DhcpInput> = {}) {
  const config = dhcpConfig(rigConfig(extra));
  const leases = new LeaseTable();
  const clock = { now: 1_000_000 };
  const decideWith = (now: DhcpConfig, packet: DhcpPacket, boot?: BootAnswer): Decision => {
    const request = asRequest(packet);
    const decision = decideFull({
      ...{ request, arrival: arrivalOn(67), config: now, leases, boot },
      now: clock.now,
    });
    if (decision.kind !== 'silent' && decision.change !== undefined) leases.apply(decision.change);
    return decision;
  };
  const decide = (packet: DhcpPacket, boot?: BootAnswer) => decideWith(config, packet, boot);
  /** The same server, started anew with another configuration: its leases are still there. */
  const reconfigured = (other: Partial<DhcpInput>) => {
    const next = dhcpConfig(rigConfig(other));
    leases.forgetPools();
    return (packet: DhcpPacket) => decideWith(next, packet);
  };
  return { config, leases, clock, decide, reconfigured, asksFleet: fullAsksFleet };
}

/** The subnet of `rig`, 10.0.0.0/24, with some of it changed. */
export function subnet(more: Partial<SubnetInput> = {}): SubnetInput {
  return {
    network: '10.0.0.0',
    netmask: '255.255.255.0',
    pools: [{ from: '10.0.0.10', to: '10.0.0.12' }],
    ...more,
  };
}

export function rigConfig(extra: Partial<DhcpInput> = {}): DhcpInput {
  return {
    serverIp: SERVER,
    proxy: false,
    httpPort: 80,
    httpsPort: 443,
    settings: { leaseSeconds: 600 },
    subnets: [subnet({ router: '10.0.0.254', dns: ['10.0.0.53'] })],
    ...extra,
  };
}

/** What a decision says on the wire, for short assertions: `offer 10.0.0.10 -> 255.255.255.255:68`. */
export function shown(decision: Decision): string {
  if (decision.kind !== 'reply')
    return decision.kind + (decision.code === undefined ? '' : ` ${decision.code}`);
  const reply = parsePacket(serialisePacket(decision.reply));
  const type = Object.entries(MESSAGE).find(
    ([, code]) => code === reply.options.get(OPTION.messageType)?.[0],
  )?.[0];
  const address = type === 'nak' ? '' : ` ${formatIp4(reply.yiaddr)}`;
  return `${type}${address} -> ${formatIp4(decision.to.address)}:${decision.to.port}`;
}

/** A decision's reply as its receiver reads it. */
export function replied(decision: Decision): DhcpPacket {
  if (decision.kind !== 'reply') throw new Error(`no reply: ${decision.why}`);
  return parsePacket(serialisePacket(decision.reply));
}

export function text(packet: DhcpPacket, code: number): string | undefined {
  return bytesText(packet.options.get(code));
}

export function ip(packet: DhcpPacket, code: number): string | undefined {
  const value = optionU32(packet.options, code);
  return value === undefined ? undefined : formatIp4(value);
}
