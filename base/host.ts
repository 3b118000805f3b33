import { isIPv6 } from 'node:net';

/**
 * Who is behind an address, as far as that tells: the address itself of IPv4, also as a socket of IPv6 shows it (RFC 4291, 2.5.5.2), and the
 * `/64` of IPv6, of which one host can give itself as many addresses as it likes.
 */
export function hostOf(address: string): string {
  const [mapped] = /(?<=^::ffff:)\d+\.\d+\.\d+\.\d+$/i.exec(address) ?? [];
  if (mapped !== undefined || !isIPv6(address)) return mapped ?? address;
  const [head = '', tail] = (address.split('%')[0] ?? '').split('::');
  const groups = head === '' ? [] : head.split(':');
  const rest = tail === undefined || tail === '' ? [] : tail.split(':');
  while (groups.length + rest.length < 8) groups.push('0');
  groups.push(...rest);
  return groups
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(':');
}
