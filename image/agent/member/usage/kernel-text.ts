/** What the kernel's files of /proc and cgroup v2 say (proc(5), cgroup-v2.rst). Null for what is not there. Pure. */

export type Bytes = { read: number; written: number };
export type Traffic = { received: number; sent: number };

/** Sectors of /proc/diskstats, whatever the disk's own are (Documentation/block/stat.rst). */
const SECTOR = 512;
/** Milliseconds of a tick of /proc/stat: USER_HZ is 100 on every architecture that images are built for. */
const TICK = 10;

/** A whole number that JSON carries exactly; else null. */
function whole(text: string | undefined): number | null {
  const value = Number(text ?? '');
  return text !== undefined && /^\d+$/.test(text) && Number.isSafeInteger(value) ? value : null;
}

/** Files of lines `name value`: cpu.stat, memory.stat. */
export function keyed(text: string, name: string): number | null {
  for (const row of text.split('\n'))
    if (row.startsWith(`${name} `)) return whole(row.slice(name.length + 1));
  return null;
}

/** Files of one number: memory.current, pids.current. */
export const single = (text: string): number | null => whole(text.trim());

/** Of `cpu.max`, as percent of one processor. @returns null: no bound */
export function quota(text: string): number | null {
  const [most = null, period = null] = text.trim().split(' ').map(whole);
  return most === null || period === null || period === 0 ? null : Math.round((100 * most) / period);
}

/** /proc/stat: `cpu` user nice system idle iowait irq softirq steal guest guest_nice; guests are in user and nice. */
export function processors(text: string): { processors: number; cpu: number | null } {
  const rows = text.split('\n');
  const ticks = (rows.find((row) => row.startsWith('cpu ')) ?? '').split(/\s+/).slice(1).map(whole);
  const [user, nice, system, , , irq, softirq] = ticks;
  const busy = [user, nice, system, irq, softirq];
  const isKnown = busy.every((part) => typeof part === 'number');
  return {
    processors: Math.max(1, rows.filter((row) => /^cpu\d/.test(row)).length),
    cpu: isKnown ? busy.reduce<number>((sum, part) => sum + (part ?? 0), 0) * TICK : null,
  };
}

/** /proc/meminfo: kB that are KiB. */
export function memory(text: string): { total: number; available: number } | null {
  const of = (name: string) => whole(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(text)?.[1]);
  const [total, available] = [of('MemTotal'), of('MemAvailable')];
  return total === null || available === null
    ? null
    : { total: total * 1024, available: Math.min(total, available) * 1024 };
}

/** /proc/net/dev: 8 columns of what was received, then 8 of what was sent. @returns by name of interface */
export function interfaces(text: string): Map<string, Traffic> {
  const found = new Map<string, Traffic>();
  for (const row of text.split('\n')) {
    const at = row.lastIndexOf(':');
    if (at < 0) continue;
    const columns = row
      .slice(at + 1)
      .trim()
      .split(/\s+/);
    const [received, sent] = [whole(columns[0]), whole(columns[8])];
    if (received !== null && sent !== null) found.set(row.slice(0, at).trim(), { received, sent });
  }
  return found;
}

/** /proc/diskstats. @returns by name of device, partitions among them */
export function disks(text: string): Map<string, Bytes> {
  const found = new Map<string, Bytes>();
  for (const row of text.split('\n')) {
    const columns = row.trim().split(/\s+/);
    const [read, written] = [whole(columns[5]), whole(columns[9])];
    if (read !== null && written !== null)
      found.set(columns[2] ?? '', { read: read * SECTOR, written: written * SECTOR });
  }
  return found;
}

/**
 * io.stat: a line for each device. One device counts, because what lies on top of others would count at each of them.
 * @param device `MAJOR:MINOR`; one without a line was not used yet
 */
export function used(text: string, device: string): Bytes | null {
  const row = text.split('\n').find((one) => one.startsWith(`${device} `));
  if (row === undefined) return { read: 0, written: 0 };
  const of = (name: string) => whole(new RegExp(` ${name}=(\\d+)(?: |$)`).exec(row)?.[1]);
  const [read, written] = [of('rbytes'), of('wbytes')];
  return read === null || written === null ? null : { read, written };
}

/** `st_dev` as the kernel's files write it (makedev(3)). */
export function deviceNumber(dev: number): string {
  const high = Math.floor(dev / 2 ** 32);
  const major = ((dev >>> 8) & 0xfff) | (high & ~0xfff);
  const minor = (dev & 0xff) | ((dev >>> 12) & 0xfff00);
  return `${major}:${minor}`;
}
