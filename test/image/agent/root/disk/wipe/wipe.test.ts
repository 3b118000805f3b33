import { randomBytes, randomInt } from 'node:crypto';
import { mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import fc from 'fast-check';
import { mustRun } from '../../../../../../base/run.ts';
import type { DiskFacts } from '../../../../../../image/agent/root/disk/layout.ts';
import { withBlockDevice } from '../../../../../../image/agent/root/disk/wipe/block-device.ts';
import { planWipe } from '../../../../../../image/agent/root/disk/wipe/plan.ts';
import type { Target } from '../../../../../../image/agent/root/disk/wipe/read-back.ts';
import { BLOCK, headsOf, randomBlocks } from '../../../../../../image/agent/root/disk/wipe/regions.ts';
import { wipeDisk } from '../../../../../../image/agent/root/disk/wipe/wipe.ts';

const MIB = 2 ** 20;
const PARTITIONS = [
  { from: MIB, length: 2 * MIB },
  { from: 3 * MIB, length: 44 * MIB },
];

/** A disk in memory, full of what must go; longer than the head of its partition. One test at a time has one. */
function disk(size = 48 * MIB) {
  const bytes = randomBytes(size);
  const target: Target = {
    size,
    read: async (into, at) => void bytes.copy(into, 0, at, at + into.length),
    write: async (from, at) => void from.copy(bytes, at),
    settle: async () => {},
    discard: async () => void bytes.fill(0),
  };
  const before = Buffer.from(bytes);
  /** Blocks that still hold what they held. */
  const left = () => {
    let count = 0;
    for (let at = 0; at < size; at += BLOCK)
      if (bytes.subarray(at, at + BLOCK).equals(before.subarray(at, at + BLOCK))) count += 1;
    return count;
  };
  return { bytes, target, left };
}

const options = { partitions: PARTITIONS, plain: false };

test.serial('a disk that discards is wiped, and is not overwritten whole', async (t) => {
  const { target, left } = disk();
  const done = await wipeDisk(target, options);
  t.like(done, { wiped: true, why: '', survived: [] });
  t.is(done.steps.length, 2);
  t.is(left(), 0);
});

test.serial(
  'a drive that says that it discarded, and did not, is overwritten; its word is no evidence',
  async (t) => {
    const { target, left } = disk();
    const done = await wipeDisk({ ...target, discard: async () => {} }, options);
    t.true(done.wiped, done.why);
    t.true(done.survived.length > 0);
    t.true(done.steps.includes('the whole disk was overwritten'));
    t.is(left(), 0);
  },
);

test.serial('a drive that refuses to discard is overwritten', async (t) => {
  const { target, left } = disk();
  const done = await wipeDisk(
    { ...target, discard: () => Promise.reject(new Error('not supported')) },
    options,
  );
  t.true(done.wiped);
  t.regex(done.steps[1] ?? '', /did not discard it: not supported/);
  t.is(left(), 0);
});

test.serial('a drive that discards all but one part of it is found out', async (t) => {
  const { bytes, target, left } = disk();
  const kept = { from: 40 * MIB, to: 41 * MIB };
  const discard = async () => void bytes.fill(0, 0, kept.from).fill(0, kept.to);
  const done = await wipeDisk({ ...target, discard }, options);
  t.true(done.wiped);
  t.true(done.steps.includes('the whole disk was overwritten'), done.steps.join());
  t.is(left(), 0);
});

test.serial(
  'a drive that throws its key away reads as noise: nothing of before, and nothing to overwrite',
  async (t) => {
    const { bytes, target } = disk();
    const done = await wipeDisk(
      { ...target, discard: async () => void randomBytes(bytes.length).copy(bytes) },
      options,
    );
    t.like(done, { wiped: true, survived: [] });
  },
);

test.serial('what lay there plain is overwritten whole, whatever the drive does', async (t) => {
  const { target } = disk();
  let written = 0;
  const write: Target['write'] = (from, at) => {
    written += from.length;
    return target.write(from, at);
  };
  t.true((await wipeDisk({ ...target, write }, { ...options, plain: true })).wiped);
  t.true(written >= target.size);
});

test.serial(
  'a drive that keeps nothing of what is written is not wiped, however often it says yes',
  async (t) => {
    const { target } = disk();
    const deaf = { ...target, write: async () => {}, discard: async () => {} };
    t.like(await wipeDisk(deaf, options), { wiped: false });
    // One that keeps only its partition's head, where the header of the encryption is.
    const write: Target['write'] = async (from, at) => {
      if (at !== 3 * MIB) await target.write(from, at);
    };
    const done = await wipeDisk({ ...target, write, discard: async () => {} }, options);
    t.false(done.wiped);
    t.regex(done.why, /head of partition 2/);
  },
);

test.serial(
  'a disk that fails in the middle is not wiped, and says why; one that was interrupted is begun again',
  async (t) => {
    const { target, left } = disk();
    const read: Target['read'] = () => Promise.reject(new Error('EIO'));
    t.like(await wipeDisk({ ...target, read }, options), { wiped: false, why: 'EIO' });
    const write: Target['write'] = (from, at) =>
      at > 4 * MIB ? Promise.reject(new Error('EIO')) : target.write(from, at);
    t.like(await wipeDisk({ ...target, write }, options), { wiped: false, why: 'EIO' });

    t.true(left() > 0);
    t.true((await wipeDisk(target, options)).wiped);
    t.is(left(), 0);
  },
);

test.serial(
  'the tables go after the heads of partitions: a wipe that was cut still knows where they are',
  async (t) => {
    const { target } = disk();
    const order: number[] = [];
    const write: Target['write'] = (from, at) => {
      order.push(at);
      return target.write(from, at);
    };
    await wipeDisk({ ...target, write }, options);
    t.true(order.indexOf(0) > order.indexOf(3 * MIB));
  },
);

test.serial('a real block device: the planted file is gone from the image file behind it', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'bw-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const image = join(folder, 'disk.raw');
  const secret = randomBytes(64 * 1024);
  const file = await open(image, 'w');
  await file.truncate(48 * MIB);
  await file.write(secret, 0, secret.length, 40 * MIB);
  await file.write(randomBytes(MIB), 0, MIB, MIB);
  await file.close();
  const { stdout } = await mustRun('losetup', ['--find', '--show', image]);
  const path = stdout.trim();
  t.teardown(() => mustRun('losetup', ['--detach', path]).catch(() => {}));
  const done = await withBlockDevice(path, (target) =>
    wipeDisk(target, { ...options, partitions: [{ from: MIB, length: 46 * MIB }] }),
  );
  t.true(done.wiped, done.why);
  t.false((await readFile(image)).includes(secret.subarray(0, 4096)));

  const again = await open(image, 'r+');
  await again.write(secret, 0, secret.length, 40 * MIB);
  await again.close();
  const plain = await withBlockDevice(path, (target) =>
    wipeDisk({ ...target, discard: async () => {} }, { ...options, plain: true }),
  );
  const held = withBlockDevice(path, () => withBlockDevice(path, async () => t.fail()));
  await t.throwsAsync(held, { code: 'EBUSY' }, 'what is in use is not wiped');
  t.true(plain.wiped, plain.why);
  t.false((await readFile(image)).includes(secret.subarray(0, 4096)));
});

test.serial('regions lie on the disk, whatever its table says', (t) => {
  const extent = fc.record({
    from: fc.integer({ min: -10, max: 2 ** 40 }),
    length: fc.integer({ min: -10, max: 2 ** 40 }),
  });
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 2 ** 40 }),
      fc.array(extent, { maxLength: 8 }),
      (size, partitions) => {
        const { partitions: heads, tables } = headsOf(size, partitions);
        const all = [
          ...heads,
          ...tables,
          ...randomBlocks(size, (below) => randomInt(Math.min(below, 2 ** 47)), 64),
        ];
        return all.every(({ from, length }) => from >= 0 && length >= 0 && from + length <= size);
      },
    ),
  );
  const { tables } = headsOf(100 * MIB, []);
  t.deepEqual(
    tables.map(({ from, length }) => [from, from + length]),
    [
      [0, MIB],
      [99 * MIB, 100 * MIB],
    ],
  );
});

const facts = (name: string, change: Partial<DiskFacts> = {}): DiskFacts => ({
  ...{
    name,
    path: `/dev/${name}`,
    otherPaths: [],
    odd: null,
    size: 2 ** 33,
    model: '',
    serial: `S-${name}`,
    wwn: `wwn-${name}`,
  },
  ...{ removable: false, readOnly: false, transport: 'nvme', inUse: false, signatures: [], partitions: [] },
  ...change,
});

test.serial(
  'only disks that Bootwave installed are wiped, by their WWN; what looks like one is left alone and said',
  (t) => {
    const disks = [facts('a'), facts('b', { wwn: '', serial: 'SER' }), facts('c')];
    const plan = planWipe(disks, { installed: ['wwn-a', 'SER'], others: 'leave' });
    t.deepEqual(
      plan.wipe.map(({ name }) => name),
      ['a', 'b'],
    );
    t.deepEqual(
      plan.left.map(({ disk }) => disk.name),
      ['c'],
    );
    t.deepEqual(plan.open, []);
    t.deepEqual(planWipe(disks, { installed: [], others: 'wipe' }).wipe.length, 3);
    t.deepEqual(
      planWipe([facts('x', { wwn: '', serial: '' })], { installed: [''], others: 'leave' }).wipe,
      [],
    );
  },
);

test.serial(
  'what should be wiped and cannot be is said: unread, read-only, in use, twice, or not there',
  (t) => {
    const open = (disks: DiskFacts[], installed = ['wwn-a']) =>
      planWipe(disks, { installed, others: 'leave' }).open.map(({ why }) => why);
    t.deepEqual(open([facts('a', { odd: { kind: 'unread', reason: 'EIO' } })]), ['it cannot be read: EIO']);
    t.deepEqual(open([facts('a', { readOnly: true })]), ['it is read-only']);
    t.deepEqual(open([facts('a', { inUse: true })]), ['it is in use']);
    t.is(open([facts('a'), facts('b', { wwn: 'wwn-a' })]).length, 2);
    t.deepEqual(open([facts('b')]), ['it was installed, and is not in this machine']);
    t.deepEqual(
      open([facts('a', { odd: { kind: 'table', reason: 'torn' } })]),
      [],
      'a torn table is no reason to keep it',
    );
  },
);
