import { mkdir, mkdtemp, readdir, rm, statfs, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { codeOf } from '../../../base/error.ts';
import { mustRun } from '../../../base/run.ts';
import { buildImage } from '../../../image/build/build.ts';
import { asDiskFull, needSpace } from '../../../image/build/failure.ts';
import { squash } from '../../../image/build/squashfs.ts';
import { borrowImage } from '../../support/image.ts';

/** A real file system that is too small. */
async function smallDisk(t: ExecutionContext, megabytes: number): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'bootwave-small-'));
  await mustRun('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'bootwave-test', folder]);
  t.teardown(async () => {
    await mustRun('umount', [folder]);
    await rm(folder, { recursive: true });
  });
  return folder;
}

test('a disk that fills up while the image is written: a clear error, no half image', async (t) => {
  t.timeout(15 * 60_000);
  const disk = await smallDisk(t, 400);
  const { paths, version } = await borrowImage(disk);
  const build = buildImage({
    paths,
    version: '8',
    onProgress: ({ step }) => {
      if (step === 'uki') fill ??= fillUp(disk, 100e6);
    },
  });
  let fill: Promise<void> | undefined;
  const error = await t.throwsAsync(build);
  await fill;
  t.is(codeOf(error), 'IMAGE_DISK_FULL');
  t.regex(error?.message ?? '', /nothing was published.*free some space/);
  t.deepEqual((await readdir(paths.images)).filter((name) => name !== '.lock').sort(), [
    `bootwave_${version}.efi`,
    `bootwave_${version}.json`,
  ]);
});

async function fillUp(disk: string, leave: number): Promise<void> {
  const { bavail, bsize } = await statfs(disk);
  await mustRun('fallocate', ['-l', String(Math.max(4096, bavail * bsize - leave)), join(disk, 'filler')]);
}

test('what is plainly too small is refused before anything is written', async (t) => {
  const disk = await smallDisk(t, 8);
  t.is(codeOf(await t.throwsAsync(needSpace(disk, 100e6))), 'IMAGE_DISK_FULL');
  await t.notThrowsAsync(needSpace(disk, 1e6));
});

test('the words of the programs that write are understood', async (t) => {
  const disk = await smallDisk(t, 1);
  const tree = join(disk, 'tree');
  await mkdir(tree);
  await writeFile(join(tree, 'file'), crypto.getRandomValues(Buffer.alloc(60_000)));
  const noise = await mkdtemp(join(tmpdir(), 'bootwave-noise-'));
  t.teardown(() => rm(noise, { recursive: true }));
  for (let i = 0; i < 40; i += 1)
    await writeFile(join(noise, `f${i}`), crypto.getRandomValues(Buffer.alloc(60_000)));
  const words = [
    squash(noise, join(disk, 'x.squashfs'), 0, 1 << 17),
    mustRun('cp', ['-a', noise, join(disk, 'copy')]),
    writeFile(join(disk, 'plain'), Buffer.alloc(2_000_000)),
  ];
  for (const [i, result] of (await Promise.allSettled(words)).entries()) {
    t.is(result.status, 'rejected', String(i));
    if (result.status === 'rejected')
      t.is(codeOf(asDiskFull(result.reason, disk)), 'IMAGE_DISK_FULL', String(i));
  }
  const other = new Error('something else');
  t.is(asDiskFull(other, disk), other);
});
