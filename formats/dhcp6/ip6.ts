import { isIPv6 } from 'node:net';
import { BootwaveError } from '../../base/error.ts';

/** An IPv6 address: 16 bytes. */
export type Ip6 = Uint8Array;

export const ANY6: Ip6 = new Uint8Array(16);

/** @throws BootwaveError `DHCP_CONFIG` when `text` is not an IPv6 address, or has a zone (`%eth0`) */
export function parseIp6(text: string): Ip6 {
  if (!isIPv6(text) || text.includes('%')) {
    throw new BootwaveError({
      code: 'DHCP_CONFIG',
      what: `${JSON.stringify(text)} is not an IPv6 address`,
      next: 'write it as fd00:77::1',
    });
  }
  const [head = '', tail] = canonical(text).split('::');
  const groups = (part: string) =>
    part === '' ? [] : part.split(':').map((one) => Number.parseInt(one, 16));
  const [first, last] = [groups(head), groups(tail ?? '')];
  const zeros = Array<number>(8 - first.length - last.length).fill(0);
  return Uint8Array.from([...first, ...zeros, ...last].flatMap((group) => [group >> 8, group & 255]));
}

/** As RFC 5952 writes it, but for the last 32 bits, which are never written as IPv4. */
export function formatIp6(ip: Ip6): string {
  const group = (i: number) => ((ip[2 * i]! << 8) | ip[2 * i + 1]!).toString(16);
  return canonical(Array.from({ length: 8 }, (_, i) => group(i)).join(':'));
}

/** fe80::/10 (RFC 4291 2.5.6). */
export function isLinkLocal(ip: Ip6): boolean {
  return ip[0] === 0xfe && (ip[1]! & 0xc0) === 0x80;
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

function canonical(text: string): string {
  return new URL(`http://[${text}]`).hostname.slice(1, -1);
}
