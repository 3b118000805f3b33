import { access, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Inventory } from '../../bootserver/enroll/protocol.ts';

/** Text of the firmware or of a device as the protocol takes it: one line, no control characters, at most `most`, no half characters. */
export function line(text: string, most = 128): string {
  return text
    .replace(/\p{Cc}+/gu, ' ')
    .trim()
    .slice(0, most)
    .toWellFormed();
}

export async function readLine(path: string, most = 128): Promise<string> {
  return readFile(path, 'utf8').then(
    (text) => line(text, most),
    () => '',
  );
}

export type Smbios = Pick<Inventory, 'uuid' | 'manufacturer' | 'product' | 'serial' | 'firmware'>;

/**
 * Who the machine says it is (SMBIOS types 0 and 1, as Linux shows them). Serial number and UUID are for root only.
 * @param sys mount point of sysfs
 */
export async function readSmbios(sys: string): Promise<Smbios> {
  const dmi = (name: string, most?: number) => readLine(join(sys, 'class/dmi/id', name), most);
  const uefi = await access(join(sys, 'firmware/efi')).then(
    () => true,
    () => false,
  );
  return {
    uuid: (await dmi('product_uuid', 64)).toLowerCase(),
    manufacturer: await dmi('sys_vendor'),
    product: await dmi('product_name'),
    serial: await dmi('product_serial'),
    firmware: {
      kind: uefi ? 'uefi' : 'bios',
      vendor: await dmi('bios_vendor'),
      version: await dmi('bios_version'),
      date: await dmi('bios_date', 32),
    },
  };
}
