/** What root reads of disks before it wipes them, on real block devices. */
import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { mustRun } from '../../../../../../base/run.ts';
import { readEvidence } from '../../../../../../image/agent/root/disk/wipe/evidence.ts';
import { WIPE_OPERATIONS } from '../../../../../../image/agent/root/disk/wipe/operations.ts';
import { READ_TIME, readDiskEvidence } from '../../../../../../protocol/enrolment/disk-evidence.ts';
import { loopDisk, placesOn, SIZE } from './loop.ts';

const look = WIPE_OPERATIONS['disk-evidence'];
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

test.serial('hashes that whoever has a copy of the disk makes again; the disk stays as it was', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'bw-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const [ours, theirs] = [await loopDisk(t), await loopDisk(t, 'data')];
  const places = placesOn([ours.path, theirs.path], join(folder, 'x'), {});
  const before = await readFile(ours.image);
  const header = join(folder, 'header');
  await mustRun('cryptsetup', [
    'luksHeaderBackup',
    '--disable-locks',
    `${ours.path}p2`,
    '--header-backup-file',
    header,
  ]);

  const report = readDiskEvidence((await look({ read: 'all' }, places)).report);
  t.like(report, {
    incident: 3,
    read: 'all',
    missing: [],
    disks: { length: 1, 0: { name: ours.path, size: SIZE } },
  });
  const found = new Map(report.disks[0]!.parts.map(({ what, sha256: hash }) => [what, hash]));
  t.is(found.get('the LUKS header of partition 2'), sha256(await readFile(header)), 'as cryptsetup saves it');
  t.is(found.get('the whole disk'), sha256(before));
  t.is(found.get('the partition table'), sha256(before.subarray(0, 2 ** 20)));
  const step = SIZE / 4096 / 4096 >= 1 ? Math.floor(SIZE / 4096 / 4096) * 4096 : 4096;
  const blocks = Array.from({ length: 4096 }, (_, i) => before.subarray(i * step, i * step + 4096));
  t.is(found.get(`4096 blocks of 4096 bytes, every ${step} bytes`), sha256(Buffer.concat(blocks)));
  t.true((await readFile(ours.image)).equals(before));

  const less = readDiskEvidence((await look({ read: 'heads' }, places)).report).disks[0]!.parts;
  t.deepEqual(less, report.disks[0]!.parts.slice(0, -1), 'the same, without the whole disk');
  await t.throwsAsync(look({ read: 'heads' }, placesOn([ours.path], join(folder, 'x'), null)), {
    code: 'ORDER_OTHER',
  });
  await WIPE_OPERATIONS['disk-wipe']({}, places);
  const wiped = readDiskEvidence((await look({ read: 'all' }, places)).report).disks[0]!.parts.at(-1)!;
  t.is(wiped.sha256, sha256(Buffer.alloc(SIZE)));
});

test('reading ends when its time is over: what was read by then is kept, what was not is named', async (t) => {
  let clock = 0;
  const disk = { name: 'sda', wwn: '0x1', serial: '', partitions: [] } as never;
  const target = {
    size: 2 ** 30,
    async read() {
      clock += READ_TIME.all / 100;
    },
  };
  const report = await readEvidence(
    { incident: 1, read: 'all', disks: [disk, disk] },
    (_, use) => use(target, []),
    () => clock,
  );
  t.deepEqual(
    report.disks.map(({ parts }) => parts.map(({ what }) => what)),
    [['the partition table', "the partition table's second copy"], []],
  );
  t.is(report.missing.length, 2);
  t.true(
    report.missing.every((why) => /^0x1: .*the time for that was over/.test(why)),
    `${report.missing}`,
  );
  t.true(clock <= READ_TIME.all * 1.01);
});

test('a disk that cannot be read is named, and keeps no other one from being read', async (t) => {
  const disk = (wwn: string) => ({ name: wwn, wwn, serial: '', partitions: [] }) as never;
  const read = async (into: Buffer) => void into.fill(7);
  const report = await readEvidence(
    { incident: 1, read: 'heads', disks: [disk('a'), disk('b')] },
    (one, use) =>
      (one as { wwn: string }).wwn === 'a'
        ? Promise.reject(new Error('EIO\u001b[2J'))
        : use({ size: 8192, read }, []),
  );
  t.deepEqual(report.missing, ['a: EIO [2J']);
  t.is(report.disks[1]!.parts.at(-1)!.what, '2 blocks of 4096 bytes, every 4096 bytes');
  t.is(report.disks[1]!.parts.at(-1)!.sha256, sha256(Buffer.alloc(8192, 7)));
});
