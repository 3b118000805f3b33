/** Against veritysetup, which others wrote: the same tree, and the same root. */
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { mustRun } from '../../base/run.ts';
import { treeBytes, VerityTree } from '../../formats/verity.ts';
import { VERITY } from '../../protocol/service/bundle.ts';

test('the tree over any number of blocks is the one that veritysetup makes', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'bootwave-verity-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  // One block has no tree; 128 digests fill a block; 128 * 128 + 1 blocks need three levels.
  for (const blocks of [1, 2, 127, 128, 129, 1000, 128 * 128 + 1]) {
    const data = randomBytes(blocks * VERITY.block);
    const file = join(folder, `${blocks}`);
    await writeFile(file, data);
    const { stdout } = await mustRun('veritysetup', [
      ...['format', '--no-superblock', '--format=1', '--hash=sha256', `--salt=${VERITY.salt}`],
      ...[`--data-block-size=${VERITY.block}`, `--hash-block-size=${VERITY.block}`],
      ...[`--data-blocks=${blocks}`, `--hash-offset=${data.length}`, file, file],
    ]);
    const tree = new VerityTree(VERITY.salt);
    // In pieces that are no blocks.
    for (let at = 0; at < data.length; at += 10_007) tree.add(data.subarray(at, at + 10_007));
    const made = tree.end();
    t.is(made.root, /Root hash:\s+(\w+)/.exec(String(stdout))?.[1] ?? '', `${blocks} blocks`);
    t.true(made.tree.equals((await readFile(file)).subarray(data.length)), `${blocks} blocks`);
    t.is(treeBytes(data.length), made.tree.length);
  }
});

test('data that fills no whole blocks has no tree', (t) => {
  for (const bytes of [0, 1, 4095, 4097]) {
    const tree = new VerityTree(VERITY.salt);
    tree.add(Buffer.alloc(bytes));
    t.throws(() => tree.end(), { instanceOf: RangeError });
  }
});
