/** What former lives leave on disks, written by hand: the kernel of this computer need not know them. */
import { open } from 'node:fs/promises';
import { crc32 } from 'node:zlib';

/** Label of an LVM2 physical volume (lib/format_text/layout.h of lvm2), for the second sector. */
export function lvmLabel(): Buffer {
  const sector = Buffer.alloc(512);
  sector.write('LABELONE', 0, 'latin1');
  sector.writeBigUInt64LE(1n, 8);
  sector.writeUInt32LE(32, 20);
  sector.write('LVM2 001', 24, 'latin1');
  sector.write('0123456789abcdefghijklmnopqrstuv', 32, 'latin1');
  // From the offset's field on, with a start of its own and without the inversion at the end.
  sector.writeUInt32LE(~crc32(sector.subarray(20), ~0xf597a6cf >>> 0) >>> 0, 16);
  return sector;
}

/** Superblock 1.2 of Linux RAID (drivers/md/md_p.h), 4 KiB from the beginning of the device. */
export function mdSuperblock(): Buffer {
  const block = Buffer.alloc(256);
  block.writeUInt32LE(0xa92b4efc, 0);
  block.writeUInt32LE(1, 4);
  block.write('0123456789abcdef', 16, 'latin1');
  block.write('rack:0', 32, 'latin1');
  block.writeUInt32LE(1, 72);
  block.writeBigUInt64LE(8n, 144);
  let sum = 0n;
  for (let at = 0; at < 256; at += 4) sum += BigInt(block.readUInt32LE(at));
  block.writeUInt32LE(Number((sum & 0xffffffffn) + (sum >> 32n)) >>> 0, 216);
  return block;
}

/** Puts both headers of a GPT where a disk with larger sectors has them. */
export async function moveTable(path: string, size: number, sector: number): Promise<void> {
  const handle = await open(path, 'r+');
  for (const [from, to] of [
    [512, sector],
    [size - 512, size - sector],
  ] as const) {
    const header = Buffer.alloc(512);
    await handle.read(header, 0, 512, from);
    await handle.write(Buffer.alloc(512), 0, 512, from);
    await handle.write(header, 0, 512, to);
  }
  await handle.close();
}
