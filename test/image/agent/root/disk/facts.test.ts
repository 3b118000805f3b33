/** Files as disks of this computer's kernel, which has loop devices and shows no partitions on them. */
import { mkdtemp, open, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { mustRun } from '../../../../../base/run.ts';
import { probe } from '../../../../../image/agent/root/disk/device.ts';
import { readDisks } from '../../../../../image/agent/root/disk/facts.ts';
import {
  chooseDisk,
  contentOf,
  type DiskFacts,
  describeOdd,
} from '../../../../../image/agent/root/disk/layout.ts';
import { lvmLabel, mdSuperblock, moveTable } from './remnants.ts';

const GIB = 1024 ** 3;
const TWO = 'label: gpt\nsize=16MiB, name="precious"\nname="more"\n';

type Made = { size?: number; make?: (path: string, size: number) => Promise<unknown>; options?: string[] };

/** @returns their names, in the order asked for */
async function disks(t: ExecutionContext, ...made: Made[]): Promise<string[]> {
  const folder = await mkdtemp(join(tmpdir(), 'bootwave-test-facts-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const names: string[] = [];
  for (const [i, { size = 3 * GIB, make, options = [] }] of made.entries()) {
    const path = join(folder, String(i));
    await writeFile(path, '');
    await truncate(path, size);
    await make?.(path, size);
    const { stdout } = await mustRun('losetup', ['--find', '--show', ...options, path]);
    const device = stdout.trim();
    t.teardown(() => mustRun('losetup', ['--detach', device]).then(() => {}));
    names.push(device.replace('/dev/', ''));
  }
  return names;
}
const among = (names: readonly string[]) => ({
  isDisk: ({ name }: { name: string }) => names.includes(name),
});
/** In the order of the names. */
async function look(names: readonly string[]): Promise<DiskFacts[]> {
  const found = await readDisks(among(names));
  return names.map((name) => found.find((disk) => disk.name === name)!);
}
async function put(path: string, offset: number, bytes: Uint8Array): Promise<void> {
  const handle = await open(path, 'r+');
  await handle.write(bytes, 0, bytes.length, offset);
  await handle.close();
}
const table = (path: string) => mustRun('sfdisk', ['--quiet', path], { input: TWO });

test.serial(
  'a table of which only the backup is whole does not stop the installation on a good disk',
  async (t) => {
    const zeroed = async (path: string) => {
      await table(path);
      await put(path, 512, new Uint8Array(512));
    };
    const [odd, good] = await look(await disks(t, { make: zeroed }, {}));
    t.deepEqual([contentOf(odd!), contentOf(good!)], ['data', 'blank']);
    t.regex(odd!.odd!.reason, /says 2 partitions, the kernel sees no partitions/);
    t.is(odd!.partitions[0]?.label, 'precious', 'what could be read is told');
    for (const wipe of [false, true])
      t.is(chooseDisk([odd!, good!], { disk: null, wipe }).disk.name, good!.name);
    t.is(describeOdd([odd!, good!]), `${odd!.name}: ${odd!.odd!.reason}`);
  },
);

test.serial('what a tool does not see is no proof of a blank disk', async (t) => {
  const otherSectors = async (path: string, size: number) => {
    await table(path);
    await moveTable(path, size, 4096);
  };
  const names = await disks(
    t,
    { make: otherSectors },
    {
      async make(path, size) {
        await otherSectors(path, size);
        await put(path, 0, new Uint8Array(512));
      },
    },
    { make: table, options: ['--sector-size', '4096'] },
    { size: 0 },
    { make: (path) => put(path, 512, lvmLabel()) },
    { make: (path) => put(path, 4096, mdSuperblock()) },
  );
  const found = await look(names);
  t.deepEqual(found.map(contentOf), ['data', 'data', 'data', 'data', 'data', 'data']);
  t.deepEqual(
    found.map(({ odd }) => odd?.kind ?? null),
    ['table', null, 'table', 'unread', null, null],
  );
  t.deepEqual(found[1]?.signatures, ['gpt (sectors of 4096 bytes)']);
  t.regex(found[3]!.odd!.reason, /no medium/);
  t.deepEqual([found[4]?.signatures, found[5]?.signatures], [['LVM2_member'], ['linux_raid_member']]);
  const none = t.throws(() => chooseDisk([found[0]!, found[3]!], { disk: null, wipe: true }), {
    code: 'INSTALL_NO_DISK',
  });
  t.true(none?.message.includes(found[0]!.odd!.reason), 'named with the reason');
});

test.serial('a disk that hangs or fails is odd, says why, and the others are told', async (t) => {
  const names = await disks(t, {}, {}, {});
  const found = await readDisks({
    ...among(names),
    patience: 5_000,
    look(device) {
      if (device.name === names[0]) return new Promise(() => {});
      if (device.name === names[1]) return Promise.reject(new Error('Input/output error'));
      return probe(device);
    },
  });
  const [hangs, fails, good] = names.map((name) => found.find((disk) => disk.name === name)!);
  t.deepEqual(hangs!.odd, { kind: 'unread', reason: 'it did not answer within 5 seconds' });
  t.deepEqual(fails!.odd, { kind: 'unread', reason: 'Input/output error' });
  t.is(hangs!.size, 3 * GIB, 'what the kernel says of it is told');
  t.deepEqual(
    [hangs, fails, good].map((disk) => contentOf(disk!)),
    ['data', 'data', 'blank'],
  );
});

test.serial('a device that goes while it is looked at is unread, not blank', async (t) => {
  const [name] = await disks(t, {});
  const gone = { name: name!, path: '/dev/bootwave-no-such-disk', type: 'disk', size: 3 * GIB };
  await t.throwsAsync(probe({ ...gone, mountpoints: [], children: [] } as never), {
    message: /No such file or directory/,
  });
});
