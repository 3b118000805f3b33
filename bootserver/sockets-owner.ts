import { readdir, readFile, readlink } from 'node:fs/promises';
import { basename } from 'node:path';

export type PortOwner = {
  pid: number;
  /** Name of its program. */
  program: string;
  /** Its whole command line: only searched for known words, never shown, because it may contain secrets. */
  args: readonly string[];
};

/**
 * Which process has a port, as far as /proc shows it to this user: `dnsmasq (pid 812)`. Best effort, for an error
 * message.
 * @returns undefined when nobody is found
 */
export async function portOwner(protocol: 'udp' | 'tcp', port: number): Promise<string | undefined> {
  const [first] = await portOwners(protocol, port);
  return first === undefined ? undefined : `${first.program} (pid ${first.pid})`;
}

/** Every process that has the port, on any interface; several may, each bound to its own. */
export async function portOwners(protocol: 'udp' | 'tcp', port: number): Promise<PortOwner[]> {
  const inodes = new Set<string>();
  for (const table of [protocol, `${protocol}6`]) {
    for (const inode of inodesOf(await readFile(`/proc/net/${table}`, 'utf8').catch(() => ''), port)) {
      inodes.add(`socket:[${inode}]`);
    }
  }
  if (inodes.size === 0) return [];
  const owners: PortOwner[] = [];
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const fds = await readdir(`/proc/${pid}/fd`).catch(() => []);
    for (const fd of fds) {
      const target = await readlink(`/proc/${pid}/fd/${fd}`).catch(() => '');
      if (!inodes.has(target)) continue;
      const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
      const args = line.split('\0');
      owners.push({ pid: Number(pid), program: basename(args[0] ?? ''), args });
      break;
    }
  }
  return owners;
}

/** Inodes of the sockets on a local port in the text of /proc/net/udp or /proc/net/tcp (listening ones only). */
export function inodesOf(table: string, port: number): string[] {
  const found: string[] = [];
  for (const line of table.split('\n').slice(1)) {
    const [, local, , state, , , , , , inode] = line.trim().split(/\s+/);
    const listens = state === '07' || state === '0A';
    if (!listens || local === undefined || inode === undefined || inode === '0') continue;
    if (Number.parseInt(local.split(':')[1] ?? '', 16) === port) found.push(inode);
  }
  return found;
}
