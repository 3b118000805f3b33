import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { repair } from '../../../../../image/agent/root/disk/mount.ts';
import { emptyFat, SECTOR } from './fat.ts';

test('of two names that share one file after a cut rename, the repair leaves one whole and empties the other', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'bootwave-test-repair-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const disk = join(folder, 'esp');
  const { handle, at, chain } = await emptyFat(disk);
  t.teardown(() => handle.close());
  await chain([4, null]);
  const content = Buffer.alloc(2 * SECTOR, 'whole');
  await handle.write(content, 0, content.length, at(3));
  const entry = (name: string) => {
    const bytes = Buffer.alloc(32);
    bytes.write(name.padEnd(11), 'latin1');
    bytes.writeUInt8(0x20, 11);
    bytes.writeUInt16LE(3, 26);
    bytes.writeUInt32LE(content.length, 28);
    return bytes;
  };
  await handle.write(Buffer.concat([entry('OLDNAME EFI'), entry('NEWNAME EFI')]), 0, 64, at(2));
  await handle.sync();

  await repair(disk);
  const root = Buffer.alloc(64);
  await handle.read(root, 0, 64, at(2));
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
  await handle.read(after, 0, after.length, at(3));
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
