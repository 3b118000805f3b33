import { readFile, realpath } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { writeFileAtomic } from '../../../../base/files.ts';
import type { EspPlace } from '../../../../formats/efi/load-option.ts';
import type { PartitionFacts } from './layout.ts';

/** Bytes of a block in sysfs, whatever the disk's own are (Linux, Documentation/ABI/stable/sysfs-block). */
const SYSFS_BLOCK = 512;

/**
 * Notes where the installed ESP is, for the unit that may write the firmware's variables and may not touch disks.
 * @param file see `BootOrderPlaces.esp`
 * @param blocks `/sys/class/block`
 */
export async function noteEsp(
  esp: PartitionFacts | undefined,
  file: string,
  blocks = '/sys/class/block',
): Promise<void> {
  if (esp?.uuid === undefined || esp.uuid === '') return;
  // The folder below that of the disk; the entry in /sys/class is only a link to it.
  const folder = await realpath(join(blocks, basename(esp.path)));
  const number = async (name: string) => Number(await readFile(join(folder, name), 'utf8'));
  // Logical block size of the disk that holds it.
  const block = await number('../queue/logical_block_size');
  const place: EspPlace = {
    partition: await number('partition'),
    start: ((await number('start')) * SYSFS_BLOCK) / block,
    size: ((await number('size')) * SYSFS_BLOCK) / block,
    uuid: esp.uuid,
  };
  await writeFileAtomic(file, JSON.stringify(place), 0o644);
}
