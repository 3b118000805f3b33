import { mkdtemp, open, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { mustRun } from '../../../../base/run.ts';
import { repair } from '../../../../image/agent/disk/mount.ts';

const SECTOR = 512;

test('of two names that share one file after a cut rename, the repair leaves one whole and empties the other', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'bootwave-test-repair-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const disk = join(folder, 'esp');
  await writeFile(disk, '');
  await truncate(disk, 64 * 1024 ** 2);
  await mustRun('mkfs.vfat', ['-F', '32', '-s', '1', disk]);

  await using handle = await open(disk, 'r+');
  const boot = Buffer.alloc(SECTOR);
  await handle.read(boot, 0, SECTOR, 0);
  // BPB_RsvdSecCnt, BPB_FATSz32 (Microsoft FAT specification, 3.1 and 3.3).
  const reserved = boot.readUInt16LE(14) * SECTOR;
  const fat = boot.readUInt32LE(36) * SECTOR;
  const data = reserved + 2 * fat;
  const chain = Buffer.alloc(8);
  chain.writeUInt32LE(4, 0);
  chain.writeUInt32LE(0x0fffffff, 4);
  for (const copy of [0, 1]) await handle.write(chain, 0, 8, reserved + copy * fat + 3 * 4);
  const content = Buffer.alloc(2 * SECTOR, 'whole');
  await handle.write(content, 0, content.length, data + SECTOR);
  const entry = (name: string) => {
    const bytes = Buffer.alloc(32);
    bytes.write(name.padEnd(11), 'latin1');
    bytes.writeUInt8(0x20, 11);
    bytes.writeUInt16LE(3, 26);
    bytes.writeUInt32LE(content.length, 28);
    return bytes;
  };
  await handle.write(Buffer.concat([entry('OLDNAME EFI'), entry('NEWNAME EFI')]), 0, 64, data);
  await handle.sync();

  await repair(disk);
  const root = Buffer.alloc(64);
  await handle.read(root, 0, 64, data);
  const found = [root.subarray(0, 32), root.subarray(32)].map((bytes) => [
    bytes.toString('latin1', 0, 11),
    bytes.readUInt16LE(26),
    bytes.readUInt32LE(28),
  ]);
  t.deepEqual(found, [
    ['OLDNAME EFI', 3, content.length],
    ['NEWNAME EFI', 0, 0],
  ]);
  const after = Buffer.alloc(content.length);
  await handle.read(after, 0, after.length, data + SECTOR);
  t.deepEqual(after, content);
  await t.notThrowsAsync(repair(disk), 'a second look finds nothing more to do');
});

test('what is not a FAT is said to be broken, not mounted', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'bootwave-test-repair-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const disk = join(folder, 'esp');
  await writeFile(disk, Buffer.alloc(1024 ** 2));
  await t.throwsAsync(repair(disk), { code: 'ESP_BROKEN' });
});
