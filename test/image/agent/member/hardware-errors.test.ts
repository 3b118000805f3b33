import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import test from 'ava';
import { readErrors } from '../../../../image/agent/member/hardware-errors.ts';

test('what cannot be corrected, of each controller, disk and file system; what is not there is unknown', async (t) => {
  const root = await mkdtemp(join(tmpdir(), 'bw-'));
  t.teardown(() => rm(root, { recursive: true, force: true }));
  const places = { proc: join(root, 'proc'), sys: join(root, 'sys') };
  t.deepEqual(readErrors(places), { memory: null, disk: null });
  const put = async (path: string, text: string) => {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), text);
  };
  await put('proc/meminfo', 'MemTotal:       100 kB\nHardwareCorrupted:     8 kB\n');
  t.deepEqual(readErrors(places), { memory: 2, disk: null });
  await put('sys/devices/system/edac/mc/mc0/ue_count', '3\n');
  await put('sys/devices/system/edac/mc/mc0/ce_count', '900\n');
  await put('sys/devices/system/edac/mc/mc1/ue_count', '4\n');
  await put('sys/devices/system/edac/mc/power/ue_count', '50\n');
  await put('sys/block/sda/device/ioerr_cnt', '0x1f\n');
  await put('sys/block/sdb/device/ioerr_cnt', 'nonsense\n');
  await put('sys/block/sr0/device/ioerr_cnt', '0x50\n');
  await put('sys/fs/ext4/dm-0/errors_count', '2\n');
  await put('sys/fs/ext4/features/x', '');
  t.deepEqual(readErrors(places), { memory: 9, disk: 33 });
});

test('of this machine: whole numbers, or unknown', (t) => {
  for (const count of Object.values(readErrors({ proc: '/proc', sys: '/sys' })))
    t.true(count === null || (Number.isSafeInteger(count) && count >= 0));
});
