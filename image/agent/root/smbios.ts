import { join } from 'node:path';
import { exists } from '../../../base/files.ts';
import { readLine } from '../../../base/line.ts';
import type { Smbios } from '../../../protocol/agent/machine.ts';

/**
 * How the machine identifies itself (SMBIOS types 0 and 1, as Linux shows them). Serial number and UUID are for root
 * only.
 * @param sys mount point of sysfs
 */
export async function readSmbios(sys: string): Promise<Smbios> {
  const dmi = (name: string, most?: number) => readLine(join(sys, 'class/dmi/id', name), most);
  return {
    uuid: (await dmi('product_uuid', 64)).toLowerCase(),
    manufacturer: await dmi('sys_vendor'),
    product: await dmi('product_name'),
    serial: await dmi('product_serial'),
    firmware: {
      kind: (await exists(join(sys, 'firmware/efi'))) ? 'uefi' : 'bios',
      vendor: await dmi('bios_vendor'),
      version: await dmi('bios_version'),
      date: await dmi('bios_date', 32),
    },
  };
}
