import { BootwaveError } from '../../base/error.ts';

/** IPv4 address as an unsigned 32-bit number in host order: ranges and masks are then plain arithmetic. */
export type Ip4 = number;

export const ANY: Ip4 = 0;
export const BROADCAST: Ip4 = 0xffffffff;

/** @throws BootwaveError `DHCP_CONFIG` when `text` is not a dotted quad */
export function parseIp4(text: string): Ip4 {
  const parts = text.split('.');
  const valid = parts.length === 4 && parts.every((part) => /^\d{1,3}$/.test(part) && Number(part) <= 255);
  if (!valid) {
    throw new BootwaveError({
      code: 'DHCP_CONFIG',
      what: `${JSON.stringify(text)} is not an IPv4 address`,
      next: 'write it as four numbers, e.g. 10.0.0.1',
    });
  }
  return parts.reduce((sum, part) => sum * 256 + Number(part), 0);
}

export function formatIp4(ip: Ip4): string {
  return `${ip >>> 24}.${(ip >>> 16) & 255}.${(ip >>> 8) & 255}.${ip & 255}`;
}

/** @param length 0 to 32 */
export function maskOf(length: number): Ip4 {
  return length === 0 ? 0 : (0xffffffff << (32 - length)) >>> 0;
}

export function ip4Bytes(...ips: readonly Ip4[]): Uint8Array {
  const bytes = new Uint8Array(ips.length * 4);
  for (const [i, ip] of ips.entries()) {
    // Each is cut to its lowest 8 bits.
    bytes[4 * i] = ip >>> 24;
    bytes[4 * i + 1] = ip >>> 16;
    bytes[4 * i + 2] = ip >>> 8;
    bytes[4 * i + 3] = ip;
  }
  return bytes;
}

export function sameNetwork(a: Ip4, b: Ip4, netmask: Ip4): boolean {
  return ((a ^ b) & netmask) === 0;
}
