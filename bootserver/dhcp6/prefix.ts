/** The addresses that firmware gets over IPv6. */
import { createHash } from 'node:crypto';
import { concat } from '../../formats/dhcp/options.ts';
import { type Ip6, isLinkLocal, parseIp6 } from '../../formats/dhcp6/ip6.ts';

/** The first 8 bytes of the addresses of one link. */
export type Prefix = Uint8Array;

/** `fd00:77::/64`. @returns undefined unless it is the prefix of a link (RFC 4291 2.5.4) with its length, 64 */
export function prefixOf(text: string): Prefix | undefined {
  const [, address = ''] = /^([0-9a-fA-F:.]+)\/64$/.exec(text) ?? [];
  let ip: Ip6;
  try {
    ip = parseIp6(address);
  } catch {
    return undefined;
  }
  const isRest = ip.subarray(8).every((byte) => byte === 0);
  const isUnicast = ip[0] !== 0xff && !isLinkLocal(ip) && ip.subarray(0, 8).some((byte) => byte !== 0);
  return isRest && isUnicast ? ip.slice(0, 8) : undefined;
}

export function isWithin(prefix: Prefix, ip: Ip6): boolean {
  return prefix.every((byte, i) => byte === ip[i]);
}

/**
 * No identifier that is kept for something else begins with it (RFC 5453: 00, 02 and fd), and nothing that people write
 * by hand (::1, ::53).
 */
const FIRST_BYTE = 0xb6;

/**
 * The address of one machine on one link: always the same one, so that nothing has to be stored to give it again, after
 * a restart or by a second boot server (as in RFC 7217, without the secret: who boots here is no secret). Of a thousand
 * machines two get the same with a probability of 1 in 10^11; what happens in practice is two machines with one MAC
 * address, which the network cannot tell apart either.
 * @param mac lower case with colons
 */
export function addressOf(prefix: Prefix, mac: string): Ip6 {
  const digest = createHash('sha256').update('bootwave dhcp6\0').update(prefix).update(mac).digest();
  return concat(prefix, Uint8Array.of(FIRST_BYTE), digest.subarray(0, 7));
}
