import { readFile } from 'node:fs/promises';

/**
 * The MAC address behind an IPv4 address on our own wire, from the kernel's ARP table (proc(5)): TFTP does not say who
 * is asking, and in proxy mode the leases are another server's.
 * @returns undefined for a machine behind a relay, or one that has just gone
 */
export async function macOfNeighbour(address: string, table = '/proc/net/arp'): Promise<string | undefined> {
  const lines = (await readFile(table, 'utf8').catch(() => '')).split('\n').slice(1);
  for (const line of lines) {
    const [ip, , , mac] = line.trim().split(/\s+/);
    if (ip === address && mac !== undefined && mac !== '00:00:00:00:00:00') return mac.toLowerCase();
  }
  return undefined;
}
