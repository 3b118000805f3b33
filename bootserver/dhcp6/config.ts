import { createHash } from 'node:crypto';
import { BootwaveError } from '../../base/error.ts';
import { writeUuidDuid } from '../../formats/dhcp6/identity.ts';
import type { Problem } from '../dhcp/problems.ts';
import { type Prefix, prefixOf } from './prefix.ts';

export type Dhcp6Input = {
  /** The boot interface's IPv6 address: the host of every URL. Not a link-local one. */
  serverIp: string;
  httpPort: number;
  /** Links whose machines get an address here; on all others a DHCPv6 server of the site gives them. */
  prefixes: readonly string[];
};

export type Dhcp6Config = {
  serverIp: string;
  httpPort: number;
  prefixes: readonly Prefix[];
  /** By which clients name this server (RFC 8415 11.5). */
  duid: Uint8Array;
};

/** What `--ipv6` means: a prefix, or `proxy` where another DHCPv6 server gives the addresses. */
export const prefixesOf = (flag: string): readonly string[] => (flag === 'proxy' ? [] : [flag]);

/** Seconds that firmware may use its address: long enough for a slow download; nothing is stored that could run out. */
export const FIRMWARE_ADDRESS = { renew: 1800, rebind: 2880, valid: 3600 } as const;

/** @returns in the order of the prefixes; empty: they can be used */
export function prefixProblems(prefixes: readonly string[]): Problem[] {
  const seen = new Set<string>();
  return prefixes.flatMap((text, i): Problem[] => {
    const path = ['ipv6', 'prefixes', i];
    const prefix = prefixOf(text);
    if (prefix === undefined) {
      const what = `${JSON.stringify(text)} is not the prefix of a link`;
      return [{ path, what, next: 'write it as fd00:77::/64; machines need 64 bits of their own' }];
    }
    const id = Buffer.from(prefix).toString('hex');
    if (seen.has(id)) return [{ path, what: `${text} is named twice`, next: 'name each link once' }];
    seen.add(id);
    return [];
  });
}

/** @throws BootwaveError `DHCP_CONFIG` naming the first prefix that cannot be used */
export function checkPrefixes(prefixes: readonly string[]): void {
  const [problem] = prefixProblems(prefixes);
  if (problem === undefined) return;
  const { what, next } = problem;
  throw new BootwaveError({ code: 'DHCP_CONFIG', what, unchanged: 'nothing was started or changed', next });
}

/** @throws BootwaveError `DHCP_CONFIG` naming the first prefix that cannot be used */
export function dhcp6Config({ serverIp, httpPort, prefixes }: Dhcp6Input): Dhcp6Config {
  checkPrefixes(prefixes);
  // Always the same without being stored: a client that asked before a restart is answered after it.
  const uuid = createHash('sha256').update(`bootwave dhcp6 server\0${serverIp}`).digest().subarray(0, 16);
  // RFC 9562 5.8: version 8, whose other bits are the maker's own.
  uuid[6] = (uuid[6]! & 0x0f) | 0x80;
  uuid[8] = (uuid[8]! & 0x3f) | 0x80;
  return { serverIp, httpPort, prefixes: prefixes.map((text) => prefixOf(text)!), duid: writeUuidDuid(uuid) };
}
