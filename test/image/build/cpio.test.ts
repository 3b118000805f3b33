import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import fc from 'fast-check';
import { mustRun } from '../../../base/run.ts';
import { cpio } from '../../../image/build/cpio.ts';
import { fleetArchive } from '../../../image/build/initrd.ts';

test('cpio(1) reads what we write: folders, files of any length, times', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'bootwave-cpio-'));
  t.teardown(() => rm(folder, { recursive: true }));
  const lengths = [0, 1, 2, 3, 4, 5, 511, 512, 513, 100_000];
  const archive = cpio([
    { path: 'sub', mode: 0o40755 },
    ...lengths.map((length) => ({
      path: `sub/${'n'.repeat(1 + (length % 7))}${length}`,
      mode: 0o100640,
      data: Buffer.alloc(length, length % 251),
      mtime: 1_700_000_000,
    })),
  ]);
  await mustRun('cpio', ['-idm', '--quiet'], { cwd: folder, input: archive });
  for (const length of lengths) {
    const path = join(folder, `sub/${'n'.repeat(1 + (length % 7))}${length}`);
    t.deepEqual(await readFile(path), Buffer.alloc(length, length % 251));
    t.is((await stat(path)).mode & 0o777, 0o640);
    t.is((await stat(path)).mtimeMs, 1_700_000_000_000);
  }
});

test('an archive ends where the next may begin, and its bytes depend on its entries only', (t) => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 700 }), { maxLength: 5 }), (contents) => {
      const entries = contents.map((data, i) => ({ path: `f${i}`, mode: 0o100644, data }));
      const archive = cpio(entries);
      return archive.length % 512 === 0 && archive.equals(cpio(entries));
    }),
  );
  t.pass();
});

test('the order in which fleet files are found does not change the archive', (t) => {
  const files: [string, Uint8Array][] = [
    ['b', Buffer.from('2')],
    ['a', Buffer.from('1')],
  ];
  t.deepEqual(fleetArchive(new Map(files), 5), fleetArchive(new Map(files.toReversed()), 5));
});
