import { readdir, readFile } from 'node:fs/promises';
import os from 'node:os';
import { join } from 'node:path';
import { exists } from '../../../base/files.ts';
import { line, readLine } from '../../../base/line.ts';
import { imageVersion } from '../../../formats/os-release.ts';
import type { Inventory, Running } from '../../../protocol/enrolment/inventory.ts';
import type { Machine } from '../../../protocol/release-target.ts';

/** What any user may see of the machine; root supplies the rest. */
export type Hardware = Pick<Inventory, 'cpu' | 'memory' | 'disks'>;

async function disks(sys: string): Promise<Inventory['disks']> {
  const found: Inventory['disks'] = [];
  for (const name of (await readdir(join(sys, 'block')).catch(() => [])).toSorted()) {
    const folder = join(sys, 'block', name);
    if (!(await exists(join(folder, 'device'))) || /^(sr|fd)\d/.test(name)) continue;
    found.push({
      name: line(name, 32),
      // Always in units of 512 bytes, whatever the disk's own sectors are.
      size: Number(await readLine(join(folder, 'size'))) * 512 || 0,
      model: await readLine(join(folder, 'device/model')),
      serial: (await readLine(join(folder, 'device/serial'))) || (await readLine(join(folder, 'serial'))),
      rotational: (await readLine(join(folder, 'queue/rotational'))) === '1',
    });
  }
  return found.slice(0, 512);
}

/** @param sys mount point of sysfs */
export async function readHardware(sys: string): Promise<Hardware> {
  const cpus = os.cpus();
  return {
    cpu: { model: line(cpus[0]?.model ?? ''), threads: Math.max(1, cpus.length) },
    memory: os.totalmem(),
    disks: await disks(sys),
  };
}

/** The machines that an image is released for. */
export async function readMachine(sys: string): Promise<Machine> {
  return {
    architecture: process.arch,
    firmware: (await exists(join(sys, 'firmware/efi'))) ? 'uefi' : 'bios',
    product: await readLine(join(sys, 'class/dmi/id/product_name')),
  };
}

/** What runs. */
export async function readRunning(osRelease: string): Promise<Running> {
  return {
    version: imageVersion(await readFile(osRelease, 'utf8').catch(() => '')),
    kernel: line(os.release()),
    bootId: await readLine('/proc/sys/kernel/random/boot_id', 64),
  };
}
