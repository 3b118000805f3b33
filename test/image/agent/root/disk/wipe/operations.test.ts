/** What root does for an order of an incident, on real block devices. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { access, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { mustRun } from '../../../../../../base/run.ts';
import { WIPE_OPERATIONS } from '../../../../../../image/agent/root/disk/wipe/operations.ts';
import { readReport } from '../../../../../../protocol/enrolment/wipe.ts';
import { loopDisk, placesOn, SECRET } from './loop.ts';

const wipe = WIPE_OPERATIONS['disk-wipe'];
const holds = async (image: string) => (await readFile(image)).includes(SECRET.subarray(0, 4096));

async function folderFor(t: ExecutionContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'bw-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

test.serial('what Bootwave installed is wiped, the disk of somebody else is not touched', async (t) => {
  const [ours, theirs] = [await loopDisk(t), await loopDisk(t, 'data')];
  const diskless = join(await folderFor(t), 'diskless');
  const before = await readFile(theirs.image);
  const { report, open } = await wipe({}, placesOn([ours.path, theirs.path], diskless, {}));
  t.false(open, report);
  t.deepEqual(readReport(report), { incident: 3, wiped: [ours.path], left: [theirs.path], open: [] });
  t.false(await holds(ours.image));
  t.true((await readFile(theirs.image)).equals(before));
  await access(diskless);
  const { stdout } = await mustRun('lsblk', ['--noheadings', '--list', '--output', 'NAME', ours.path]);
  t.is(stdout.trim().split('\n').length, 1, 'the kernel shows no partition of it any more');
  const again = await wipe({}, placesOn([ours.path], diskless, {}));
  t.deepEqual(readReport(again.report).wiped, [ours.path]);
});

test.serial('by the word of its site all disks go', async (t) => {
  const [ours, theirs] = [await loopDisk(t), await loopDisk(t, 'data')];
  const places = placesOn([ours.path, theirs.path], join(await folderFor(t), 'x'), { others: 'wipe' });
  t.deepEqual(
    readReport((await wipe({}, places)).report).wiped.toSorted(),
    [ours.path, theirs.path].toSorted(),
  );
  t.false((await holds(ours.image)) || (await holds(theirs.image)));
});

test.serial(
  'what cannot be wiped is said: in use, or not there; any other order wipes nothing',
  async (t) => {
    const { image, path } = await loopDisk(t);
    const folder = await folderFor(t);
    const places = (wanted: Parameters<typeof placesOn>[2]) => placesOn([path], join(folder, 'x'), wanted);
    await t.throwsAsync(wipe({}, places(null)), { code: 'ORDER_OTHER' });
    t.true(await holds(image));
    const gone = readReport((await wipe({}, places({ installed: ['gone'] }))).report);
    t.like(gone, { wiped: [], left: [] });
    t.deepEqual(
      gone.open.map(({ name }) => name),
      [path, 'gone'],
      'what looks like ours is not gone on with',
    );
    t.true(await holds(image));
    await mustRun('mount', [`${path}p1`, folder]);
    try {
      const { report, open } = await wipe({}, places({}));
      t.true(open);
      t.like(readReport(report), { wiped: [], open: [{ name: path, why: 'it is in use' }] });
      t.true(await holds(image));
    } finally {
      await mustRun('umount', [folder]);
    }
  },
);

test.serial('killed at any moment, it is begun again, and nothing is left', async (t) => {
  const cut: string[] = [];
  // The last one when heads and tables are gone, and nothing says any more what lay there.
  for (const after of [200, 1000, null]) {
    const { image, path } = await loopDisk(t);
    const diskless = join(await folderFor(t), 'x');
    const program = join(import.meta.dirname, 'wipe-program.ts');
    const child = spawn(process.execPath, [program, path, diskless], { stdio: ['ignore', 'pipe', 'pipe'] });
    const ended = once(child, 'exit');
    await once(after === null ? child.stderr : child.stdout, 'data');
    setTimeout(() => child.kill('SIGKILL'), after ?? 0);
    cut.push(String((await ended)[1]));
    const { report, open } = await wipe({}, placesOn([path], diskless, {}));
    t.false(open, report);
    t.false(await holds(image));
  }
  t.true(cut.includes('SIGKILL'), cut.join());
});
