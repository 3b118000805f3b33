import { execFileSync } from 'node:child_process';
import { copyFile, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { bundlesIn, takeBundle } from '../../../../../image/agent/root/services/bundle.ts';
import { makeBundle, scratch } from './bundles.ts';

test('a bundle comes into the store as it was ordered, or not at all: each region, each size, each root hash', async (t) => {
  const folder = await scratch(t);
  const bundle = await makeBundle(folder);
  const good = await readFile(bundle.file);
  const [store, source] = [join(folder, 'store'), join(folder, 'x.download')];
  const take = (more: object = {}) => takeBundle(source, store, { ...bundle, ...more });
  const nothing = async () => t.deepEqual(await readdir(store), []);

  t.false(await take(), 'nothing was fetched yet');
  const regions: [string, number][] = [
    ['the superblock', 0],
    ['the data', bundle.dataBytes >> 1],
    ['the end of the data', bundle.dataBytes - 1],
    ['the tree', bundle.dataBytes],
    ['the end of the tree', bundle.size - 1],
  ];
  for (const [what, at] of regions) {
    const bad = Buffer.from(good);
    bad[at]! ^= 1;
    await writeFile(source, bad);
    await t.throwsAsync(take(), { code: 'SERVICE_BUNDLE_DIGEST' }, what);
    await nothing();
    // With the digest of the bad bytes, as whoever owns the metadata of a team could sign: the tree tells.
    const sha256 = (await import('node:crypto')).createHash('sha256').update(bad).digest('hex');
    await t.throwsAsync(take({ sha256 }), { code: 'SERVICE_BUNDLE_VERITY' }, what);
    await nothing();
  }
  await copyFile(bundle.file, source);
  await t.throwsAsync(take({ rootHash: 'a'.repeat(64) }), { code: 'SERVICE_BUNDLE_VERITY' });
  await t.throwsAsync(take({ dataBytes: bundle.dataBytes - 4096 }), { code: 'SERVICE_BUNDLE_VERITY' });
  await t.throwsAsync(take({ size: bundle.size - 1 }), { code: 'SERVICE_BUNDLE_SIZE' });
  await nothing();
  t.true(await take());
  t.deepEqual(await bundlesIn(store), new Set([bundle.sha256]));
  t.deepEqual(await readFile(join(store, bundle.sha256)), good);
});

test('what the agent may put in the place of a download hangs nothing and leads nowhere', async (t) => {
  const folder = await scratch(t);
  const bundle = await makeBundle(folder);
  const store = join(folder, 'store');
  await symlink(bundle.file, join(folder, 'link'));
  t.false(await takeBundle(join(folder, 'link'), store, bundle));
  execFileSync('mkfifo', [join(folder, 'pipe')]);
  await t.throwsAsync(takeBundle(join(folder, 'pipe'), store, bundle), { code: 'SERVICE_BUNDLE_SIZE' });
  await t.throwsAsync(takeBundle(folder, store, bundle), { code: 'SERVICE_BUNDLE_SIZE' });
});
