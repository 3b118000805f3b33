import type { BootDecision } from '../../../bootserver/boot/answer.ts';
import { decideBoot } from '../../../bootserver/boot/answer.ts';
import { type Dhcp6Input, dhcp6Config } from '../../../bootserver/dhcp6/config.ts';
import { asksFleet6, type Decision6, decide6, role6 } from '../../../bootserver/dhcp6/decide.ts';
import { type Request6, readRequest6 } from '../../../bootserver/dhcp6/request.ts';
import type { BootIntent } from '../../../bootserver/directory.ts';
import { textBytes } from '../../../formats/dhcp/options.ts';
import { type Association, readAssociation, writeAssociation } from '../../../formats/dhcp6/identity.ts';
import { formatIp6, type Ip6, parseIp6 } from '../../../formats/dhcp6/ip6.ts';
import { OPTION6, type Options6, option6, writeVendorClass } from '../../../formats/dhcp6/options.ts';
import {
  MESSAGE6,
  type Packet6,
  parsePacket6,
  type Relay,
  serialisePacket6,
} from '../../../formats/dhcp6/packet.ts';
import { readCaptures } from '../boot/captures.ts';

/** What real firmware put on the wire, by file name. */
export const CAPTURES6 = readCaptures(new URL('./captures/', import.meta.url));

export const SERVER6 = 'fd00:77::1';
export const PREFIX = 'fd00:77::/64';
/** Link-local of 52:54:00:00:00:01. */
export const MACHINE = 'fe80::5054:ff:fe00:1';
export const IMAGE: BootIntent = { kind: 'image', version: '1.2.3', reason: 'new' };

export type Parts6 = {
  type?: keyof typeof MESSAGE6;
  /** null: without one. */
  clientId?: readonly number[] | null;
  serverId?: Uint8Array;
  vendorClass?: string | null;
  architecture?: readonly number[] | null;
  associations?: readonly Partial<Association>[];
  more?: Options6;
  relays?: readonly Relay[];
};

/** As EDK2 asks, unless said otherwise. */
export function message6(parts: Parts6 = {}): Packet6 {
  const {
    type = 'solicit',
    clientId = [0, 4, ...Array(16).fill(7)],
    vendorClass,
    architecture,
    serverId,
  } = parts;
  const name = vendorClass === undefined ? 'HTTPClient:Arch:00016:UNDI:003000' : vendorClass;
  const options: (readonly [number, Uint8Array])[] = [];
  if (clientId !== null) options.push([OPTION6.clientId, Uint8Array.from(clientId)]);
  if (serverId !== undefined) options.push([OPTION6.serverId, serverId]);
  for (const one of parts.associations ?? [{}]) {
    options.push([OPTION6.iaNa, writeAssociation({ iaid: 9, t1: 0, t2: 0, addresses: [], ...one })]);
  }
  if (architecture !== null) options.push([OPTION6.architecture, Uint8Array.from(architecture ?? [0, 16])]);
  if (name !== null) {
    options.push([OPTION6.vendorClass, writeVendorClass({ enterprise: 343, pieces: [textBytes(name)] })]);
  }
  return {
    type: MESSAGE6[type],
    xid: 0x123456,
    options: [...options, ...(parts.more ?? [])],
    relays: parts.relays ?? [],
  };
}

export function relay(link: string, peer: string, options: Options6 = []): Relay {
  return { hops: 0, link: parseIp6(link), peer: parseIp6(peer), options };
}

/** Through bytes and back, as the server would read it. */
export function asRequest6(packet: Packet6 | Uint8Array, from = MACHINE): Request6 {
  const bytes = packet instanceof Uint8Array ? packet : serialisePacket6(packet);
  const request = readRequest6(parsePacket6(bytes), parseIp6(from));
  if (request === undefined) throw new Error('not a request');
  return request;
}

/** A server without a wire. */
export function rig6(extra: Partial<Dhcp6Input> = {}, intent: BootIntent = IMAGE) {
  const config = dhcp6Config({ serverIp: SERVER6, httpPort: 7080, prefixes: [PREFIX], ...extra });
  const decide = (packet: Packet6 | Uint8Array, from?: string): Decision6 => {
    const request = asRequest6(packet, from);
    let boot: BootDecision | undefined;
    if (asksFleet6(request, config)) {
      const { mac = '', boot: asked } = request;
      boot = decideBoot({ client: asked!.client, mac, intent, role: role6(request, config), base: config });
    }
    return decide6(request, config, boot);
  };
  return { config, decide };
}

/** A decision's reply as its receiver reads it. */
export function replied6(decision: Decision6): Packet6 {
  if (decision.kind !== 'reply') throw new Error(`no reply: ${decision.why}`);
  return parsePacket6(serialisePacket6(decision.reply));
}

export function addressIn(packet: Packet6): string | undefined {
  const [first] = packet.options.flatMap(([code, value]): Ip6[] =>
    code === OPTION6.iaNa ? readAssociation(value).addresses.map(({ ip }) => ip) : [],
  );
  return first === undefined ? undefined : formatIp6(first);
}

export function urlIn(packet: Packet6): string | undefined {
  const value = option6(packet.options, OPTION6.bootFileUrl);
  return value === undefined ? undefined : Buffer.from(value).toString();
}

/** `advertise ADDRESS URL`, or why not. */
export function shown6(decision: Decision6): string {
  if (decision.kind === 'silent') return decision.code ?? 'silent';
  const packet = replied6(decision);
  const type = Object.entries(MESSAGE6).find(([, code]) => code === packet.type)?.[0];
  return [type, addressIn(packet), urlIn(packet)].filter((part) => part !== undefined).join(' ');
}
