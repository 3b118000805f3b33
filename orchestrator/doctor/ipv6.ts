/** Is UEFI HTTP Boot over IPv6 possible on this wire? */
import { randomInt } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { BootwaveError } from '../../base/error.ts';
import { type Ipv6Spec, openClientUdp, servedAddress6 } from '../../bootserver/sockets.ts';
import { readAssociation, writeAssociation } from '../../formats/dhcp6/identity.ts';
import { formatIp6 } from '../../formats/dhcp6/ip6.ts';
import { OPTION6 } from '../../formats/dhcp6/options.ts';
import { MESSAGE6, parsePacket6, serialisePacket6 } from '../../formats/dhcp6/packet.ts';
import { type Check, fail, ok, warn } from './check.ts';
import { inventedMac } from './dhcp-client.ts';

const NAME = 'DHCPv6 on the wire';
/** Milliseconds; DHCPv6 servers look at nothing before they answer. */
const LISTEN = 2000;
/** Answers that are kept; more would be a flood. */
const MOST = 32;

/** One server's Advertise. */
export type Dhcp6Answer = { server: string; offered: string };

export async function checkAddress6(
  device: string,
  ipv6: Ipv6Spec,
): Promise<{ check: Check; address?: string }> {
  try {
    const address = await servedAddress6(device, ipv6);
    return { check: ok('IPv6', `${address} on ${device}`), address };
  } catch (error) {
    if (!(error instanceof BootwaveError)) throw error;
    return { check: fail('IPv6', error.what, error.next ?? '') };
  }
}

export async function checkDhcp6(
  device: string,
  { prefixes }: Ipv6Spec,
  signal?: AbortSignal,
): Promise<Check> {
  try {
    return judgeDhcp6(await askForAddresses6(device, signal), prefixes);
  } catch (error) {
    if (!(error instanceof BootwaveError)) throw error;
    return warn(NAME, `not asked: ${error.what}`, error.next ?? '');
  }
}

/**
 * Asks as any machine does, not as firmware: our own server is silent then, and the fleet hears of no machine that does not
 * exist. It never takes what it is offered.
 * @throws BootwaveError `INTERFACE_MISSING`, `PORT_IN_USE`, `NOT_ROOT`, `SOCKETS_FAILED`
 */
async function askForAddresses6(device: string, signal?: AbortSignal): Promise<Dhcp6Answer[]> {
  const socket = await openClientUdp(device, 546, signal);
  const xid = randomInt(0, 2 ** 24);
  const answers = new Map<string, Dhcp6Answer>();
  try {
    socket.on('error', () => {});
    socket.on('message', (bytes, { address: server }) => {
      const offered = offeredBy(bytes, xid);
      if (offered !== undefined && answers.size < MOST) answers.set(server, { server, offered });
    });
    socket.send(solicit(xid), 547, `ff02::1:2%${device}`);
    await sleep(LISTEN, undefined, signal === undefined ? {} : { signal });
  } finally {
    socket.close();
  }
  return [...answers.values()];
}

function solicit(xid: number): Uint8Array {
  const mac = Buffer.from(inventedMac().replaceAll(':', ''), 'hex');
  const association = writeAssociation({ iaid: 1, t1: 0, t2: 0, addresses: [] });
  return serialisePacket6({
    type: MESSAGE6.solicit,
    xid,
    options: [
      // DUID-LL of an Ethernet card (RFC 8415 11.4).
      [OPTION6.clientId, Uint8Array.from([0, 3, 0, 1, ...mac])],
      [OPTION6.iaNa, association],
    ],
    relays: [],
  });
}

/** @returns undefined for what offers no address, whatever it contains */
function offeredBy(bytes: Uint8Array, xid: number): string | undefined {
  try {
    const packet = parsePacket6(bytes);
    if (packet.type !== MESSAGE6.advertise || packet.xid !== xid) return undefined;
    const all = packet.options.flatMap(([code, value]) =>
      code === OPTION6.iaNa ? readAssociation(value).addresses : [],
    );
    return all[0] === undefined ? undefined : formatIp6(all[0].ip);
  } catch {
    return undefined;
  }
}

/** Pure. @param prefixes of which this boot server gives addresses to firmware */
export function judgeDhcp6(answers: readonly Dhcp6Answer[], prefixes: readonly string[]): Check {
  const names = answers.map(({ server, offered }) => `${server} (offers ${offered})`).join('; ');
  if (prefixes.length > 0) {
    return answers.length === 0
      ? ok(NAME, 'this boot server gives firmware its address; no other DHCPv6 server answers')
      : ok(NAME, `this boot server gives firmware its address, before ${names}`);
  }
  return answers.length === 0
    ? warn(
        NAME,
        'no DHCPv6 server gives an unknown machine an address, and without a prefix none of ours does',
        'start one, or give a prefix (--ipv6 fd00:77::/64); if yours answers only machines that it knows, all is well',
      )
    : ok(NAME, `${names} gives the addresses, this boot server adds the boot part`);
}
