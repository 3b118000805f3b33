import { readdir, readlink } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { line, readLine } from '../../../base/line.ts';
import type { Inventory } from '../../../protocol/enrolment/inventory.ts';

/** @param sys mount point of sysfs */
export async function readNics(sys: string): Promise<Inventory['nics']> {
  const found: Inventory['nics'] = [];
  for (const name of (await readdir(join(sys, 'class/net')).catch(() => [])).toSorted()) {
    const folder = join(sys, 'class/net', name);
    // Only an interface on a bus is hardware; bridges, loopback and the like have no device.
    const driver = await readlink(join(folder, 'device/driver')).catch(() => null);
    const mac = await readLine(join(folder, 'address'));
    if (driver === null || !/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/.test(mac)) continue;
    const speed = Number(await readLine(join(folder, 'speed')));
    found.push({
      name: line(name, 32),
      mac,
      driver: line(basename(driver), 64),
      speed: Number.isInteger(speed) && speed > 0 ? speed : null,
    });
  }
  return found.slice(0, 64);
}
