import { randomInt } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import os from 'node:os';
import { join } from 'node:path';
import { askFrom, type LocalAddress, urlOfVendorOptions } from './inform.ts';

/** Every IPv4 address that another machine could reach. */
export function localAddresses(): LocalAddress[] {
  return Object.values(os.networkInterfaces())
    .flat()
    .filter((entry) => entry !== undefined && entry.family === 'IPv4' && !entry.internal)
    .map((entry) => ({ address: entry!.address, mac: entry!.mac }));
}

/** @param text of a lease file of systemd-networkd; `VENDOR_SPECIFIC` is option 43 in hex */
export function urlOfLease(text: string): string | undefined {
  const hex = /^VENDOR_SPECIFIC=([0-9a-fA-F]+)$/m.exec(text)?.[1];
  return hex === undefined ? undefined : urlOfVendorOptions(Buffer.from(hex, 'hex'));
}

async function urlsOfLeases(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch(() => []);
  const texts = await Promise.all(names.map((name) => readFile(join(folder, name), 'utf8').catch(() => '')));
  return texts.map(urlOfLease).filter((url) => url !== undefined);
}

/**
 * Where a boot server may be: those that the DHCP leases name, and if there are none or they do not answer, those
 * that answer on the wire. All of this can be forged; TLS decides which one is trusted.
 * @param leases folder of lease files
 * @param thorough ask the wire in any case
 * @returns https origins, the likeliest first; empty when there is none yet
 */
export async function discover(leases: string, thorough: boolean): Promise<string[]> {
  const named = await urlsOfLeases(leases);
  if (named.length > 0 && !thorough) return [...new Set(named)];
  const xid = randomInt(2 ** 32);
  const answered = await Promise.all(localAddresses().map((local) => askFrom(local, xid, 2000)));
  return [...new Set([...named, ...answered.flat()])];
}
