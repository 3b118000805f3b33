import { access, readdir, readFile, readlink } from 'node:fs/promises';
import os from 'node:os';
import { basename, join } from 'node:path';
import type { Inventory, Running } from '../../bootserver/enroll/protocol.ts';
import type { Machine } from '../release-target.ts';
import { line, readLine, readSmbios } from './smbios.ts';

/** What any user may see of the machine; the rest comes from the helper. */
export type Hardware = Pick<Inventory, 'cpu' | 'memory' | 'nics' | 'disks'>;

const entries = (folder: string) => readdir(folder).catch(() => []);

async function nics(sys: string): Promise<Inventory['nics']> {
  const found: Inventory['nics'] = [];
  for (const name of (await entries(join(sys, 'class/net'))).toSorted()) {
    const folder = join(sys, 'class/net', name);
    // Only what hangs on a bus is hardware; bridges, loopback and the like have no device.
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

async function disks(sys: string): Promise<Inventory['disks']> {
  const found: Inventory['disks'] = [];
  for (const name of (await entries(join(sys, 'block'))).toSorted()) {
    const folder = join(sys, 'block', name);
    const real = await access(join(folder, 'device')).then(
      () => true,
      () => false,
    );
    if (!real || /^(sr|fd)\d/.test(name)) continue;
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
    nics: await nics(sys),
    disks: await disks(sys),
  };
}

/** What an image may be for: which of these machines. */
export async function readMachine(sys: string): Promise<Machine> {
  const { product, firmware } = await readSmbios(sys);
  return { architecture: process.arch, firmware: firmware.kind, product };
}

/** What runs: the image's version from os-release (`IMAGE_VERSION`, os-release(5)). */
export async function readRunning(osRelease: string): Promise<Running> {
  const text = await readFile(osRelease, 'utf8').catch(() => '');
  return {
    version: line(/^IMAGE_VERSION="?([^"\n]*)"?$/m.exec(text)?.[1] ?? 'unknown', 64),
    kernel: line(os.release()),
    bootId: await readLine('/proc/sys/kernel/random/boot_id', 64),
  };
}
