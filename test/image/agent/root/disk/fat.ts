/** A small FAT32 of which every cluster is one sector: what lies where can be written by hand. */
import { type FileHandle, open, truncate, writeFile } from 'node:fs/promises';
import { mustRun } from '../../../../../base/run.ts';

export const SECTOR = 512;

/**
 * @param disk file that is made
 * @returns `at`: bytes from its start to a cluster, of which 2 is the root folder; `chain`: cluster 3 and those after it
 * become links to these, null ending a file
 */
export async function emptyFat(disk: string) {
  await writeFile(disk, '');
  await truncate(disk, 64 * 1024 ** 2);
  await mustRun('mkfs.vfat', ['-F', '32', '-s', '1', disk]);
  const handle: FileHandle = await open(disk, 'r+');
  const boot = Buffer.alloc(SECTOR);
  await handle.read(boot, 0, SECTOR, 0);
  // BPB_RsvdSecCnt, BPB_FATSz32 (Microsoft FAT specification, 3.1 and 3.3).
  const reserved = boot.readUInt16LE(14) * SECTOR;
  const fat = boot.readUInt32LE(36) * SECTOR;
  return {
    handle,
    at: (cluster: number) => reserved + 2 * fat + (cluster - 2) * SECTOR,
    async chain(links: readonly (number | null)[]): Promise<void> {
      const bytes = Buffer.alloc(4 * links.length);
      for (const [i, link] of links.entries()) bytes.writeUInt32LE(link ?? 0x0fffffff, 4 * i);
      for (const copy of [0, 1]) await handle.write(bytes, 0, bytes.length, reserved + copy * fat + 3 * 4);
    },
  };
}
