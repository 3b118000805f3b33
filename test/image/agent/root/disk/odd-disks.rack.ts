/** Real disks of a real kernel, each odd in its own way: see odd-guest.ts. */
import { createHash } from 'node:crypto';
import { mkdtemp, open, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { mustRun } from '../../../../../base/run.ts';
import { MODULES, powerOn } from './machine.ts';
import { lvmLabel, mdSuperblock, moveTable } from './remnants.ts';

const MIB = 1024 ** 2;
const SCSI = ['scsi/scsi_common', 'scsi/scsi_mod'].map((name) => `drivers/${name}`);
const DRIVERS = [
  ...SCSI,
  ...['lib/crc64', 'crypto/crc64_rocksoft_generic', 'lib/crc64-rocksoft', 'block/t10-pi'],
  ...['drivers/scsi/sd_mod', 'drivers/block/loop'],
];
const TWO = 'label: gpt\nsize=16MiB, name="precious"\nname="more"\n';

type Made = { path: string; size: number };
const put = async (path: string, offset: number, bytes: Uint8Array) => {
  const handle = await open(path, 'r+');
  await handle.write(bytes, 0, bytes.length, offset);
  await handle.close();
};
const table = (path: string, input = TWO) => mustRun('sfdisk', ['--quiet', path], { input });

/** By the letter of the disk in the machine. */
const KINDS: Record<string, (disk: Made) => Promise<unknown>> = {
  async a({ path }) {
    await table(path);
    await put(path, 512, new Uint8Array(512));
  },
  async b({ path }) {
    await truncate(path, 3 * 1024 * MIB);
  },
  /** LVM all over it. */
  c: ({ path }) => put(path, 512, lvmLabel()),
  /** A half of a mirror. */
  d: ({ path }) => put(path, 4096, mdSuperblock()),
  /** Made behind a controller that shows sectors of 4 KiB. */
  async e({ path, size }) {
    await table(path);
    await moveTable(path, size, 4096);
  },
  /** The same, and nothing where an MBR would be. */
  async f({ path, size }) {
    await table(path);
    await moveTable(path, size, 4096);
    await put(path, 0, new Uint8Array(512));
  },
  /** Both tables gone, and the MBR that protected them left. */
  async g({ path, size }) {
    await table(path);
    await put(path, 512, new Uint8Array(512));
    await put(path, size - 512, new Uint8Array(512));
  },
  /** An MBR with a logical partition: the kernel shows the extended one shorter than the table says. */
  h: ({ path }) => table(path, 'label: dos\nsize=16MiB, type=83\ntype=5\nsize=8MiB, type=83\n'),
};

test('an odd disk is data that is left alone, named with the reason, and the good one is installed to', async (t) => {
  t.timeout(300_000);
  const folder = await mkdtemp(join(tmpdir(), 'bootwave-test-odd-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const disks: string[] = [];
  for (const [name, make] of Object.entries(KINDS)) {
    const path = join(folder, name);
    await writeFile(path, '');
    await truncate(path, 64 * MIB);
    await make({ path, size: 64 * MIB });
    disks.push(path);
  }
  const digests = () =>
    Promise.all(
      disks
        .filter((path) => !path.endsWith('/b'))
        .map(async (path) =>
          createHash('sha256')
            .update(await readFile(path))
            .digest('hex'),
        ),
    );
  const before = await digests();

  const [release] = await readdir(MODULES);
  const debug = `${MODULES}/${release}/kernel/drivers/scsi/scsi_debug.ko`;
  const machine = await powerOn(folder, join(import.meta.dirname, 'odd-guest.ts'), [debug], disks, DRIVERS);
  t.teardown(() => machine.cut());
  await machine.over;
  // biome-ignore lint/suspicious/noExplicitAny: answers of the program inside
  const said: any = Object.assign({}, ...(machine.said as object[]));

  const seen = said.before;
  const table2 = 'its partition table says 2 partitions, the kernel sees no partitions';
  t.deepEqual(seen.ubda.odd, { kind: 'table', reason: table2 }, 'the backup is whole');
  t.deepEqual(seen.ubdb, { content: 'blank', odd: null, signatures: [], others: [] });
  t.deepEqual(seen.ubdc, { content: 'data', odd: null, signatures: ['LVM2_member'], others: [] });
  t.deepEqual(seen.ubdd, { content: 'data', odd: null, signatures: ['linux_raid_member'], others: [] });
  t.is(seen.ubde.odd?.kind, 'table');
  t.deepEqual(seen.ubdf.signatures, ['gpt (sectors of 4096 bytes)']);
  t.is(seen.ubdg.odd?.kind, 'table');
  t.is(seen.ubdh.odd, null, 'the kernel sees what the table says');
  for (const name of ['ubda', 'ubdc', 'ubdd', 'ubde', 'ubdf', 'ubdg', 'ubdh'])
    t.is(seen[name].content, 'data', name);

  t.is(said.installed.disk, 'ubdb');
  t.deepEqual(await digests(), before, 'nothing was written to any other disk, though the order says wipe');
  t.deepEqual(said.bless, { blessed: null, reason: 'not from disk' });

  t.deepEqual(said.cut.odd, { kind: 'table', reason: table2 });
  t.is(said.cut.content, 'ours', 'what a power cut leaves while the table is written');
  t.deepEqual(said.again, said.installed);
  t.deepEqual(said.mended, { disk: 'ubdb', files: ['bootwave_1.0.efi'] }, 'and nothing on it was lost');

  t.is(said.failing.sda.content, 'data', 'what cannot be read is not blank');
  t.is(said.failing.sda.odd.kind, 'unread');
  t.regex(said.failing.sda.odd.reason, /Input\/output error/i);
  t.deepEqual([said.large.sda.content, said.large.sda.odd], ['data', null], 'sectors of 4 KiB throughout');
  t.is(said.empty.loop0.odd.kind, 'unread');
  t.regex(said.empty.loop0.odd.reason, /no medium/);

  t.deepEqual(said.blankTwice, {
    sda: { content: 'blank', odd: null, signatures: [], others: ['/dev/sdb'] },
  });
  t.deepEqual(Object.keys(said.twice), ['sda'], 'one disk by two paths');
  t.is(said.chosen, 'sda', JSON.stringify(said.twice));
  t.is(said.named, 'sda', 'by whichever of its names');
});
