/** The folder that neighbours are served from: what is in it, what is not, and what it may cost. */
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { isShared, shareFiles, shareImage } from '../../../../../image/agent/root/services/share.ts';
import { RESERVE } from '../../../../../image/agent/root/services/space.ts';
import { servedName } from '../../../../../protocol/release-target.ts';
import { manifestOf } from './any-manifest.ts';
import { makeBundle, released, scratch, targetOf } from './bundles.ts';
import { setUp } from './node.ts';

const digest = (text: string) => createHash('sha256').update(text).digest('hex');
const imageOf = (version: string) => ({
  version,
  sha256: digest(`image ${version}`),
  size: `image ${version}`.length,
});

async function places(t: ExecutionContext) {
  const at = await scratch(t);
  const space = { total: 2 ** 40, free: 2 ** 40 };
  const found = {
    ...{ store: join(at, 'store'), states: join(at, 'states'), shared: join(at, 'shared') },
    ...{ downloads: join(at, 'downloads'), space: async () => space },
  };
  await mkdir(found.store);
  const share = (version: string, text = `image ${version}`) =>
    shareImage(
      imageOf(version),
      async function* () {
        yield Buffer.from(text);
      },
      found,
    );
  return { ...found, sizes: space, share, images: () => readdir(join(found.shared, 'images')) };
}

test('a bundle has a second name, which others may read, for as long as it is in the store', async (t) => {
  const all = await places(t);
  const [a, b] = [digest('a'), digest('b')];
  for (const [name, text] of [
    [a, 'a'],
    [b, 'b'],
    [`${a}.json`, 'said of it'],
    [`${b}.part`, 'half'],
  ] as const)
    await writeFile(join(all.store, name), text, { mode: 0o600 });
  t.false(await isShared(all));
  t.is(await shareFiles(false, all), undefined);
  t.deepEqual((await shareFiles(true, all))!.sort(), [a, b].sort());
  t.true(await isShared(all));
  t.deepEqual((await readdir(join(all.shared, 'bundles'))).sort(), [a, b].sort());
  const [one, same] = await Promise.all(
    [join(all.store, a), join(all.shared, 'bundles', a)].map((at) => stat(at)),
  );
  t.is(one!.ino, same!.ino, 'no byte of it is there twice');
  t.is(same!.mode & 0o777, 0o644);
  await writeFile(join(all.shared, 'bundles/strange'), 'x');
  t.deepEqual((await shareFiles(true, all))!.sort(), [a, b].sort(), 'asked twice, done once');
  t.deepEqual((await readdir(join(all.shared, 'bundles'))).sort(), [a, b].sort());
  t.is(await shareFiles(false, all), undefined);
  t.deepEqual(await readdir(all.shared), []);
  t.is(await readFile(join(all.store, a), 'utf8'), 'a');
});

test('an image is there whole or not at all, and two of them at the most', async (t) => {
  const all = await places(t);
  await shareFiles(true, all);
  await all.share('1');
  await utimes(join(all.shared, 'images', servedName('1', imageOf('1').sha256)), 1, 1);
  await writeFile(join(all.shared, 'images/half.part'), 'killed');
  await t.throwsAsync(all.share('2', 'image 3'), { code: 'SHARE_DIGEST' });
  await t.throwsAsync(all.share('2', 'image 2 and more'), { code: 'SHARE_DIGEST' });
  await t.throwsAsync(all.share('2', 'image'), { code: 'SHARE_DIGEST' });
  t.deepEqual(await all.images(), [servedName('1', imageOf('1').sha256)]);
  await all.share('2');
  await all.share('2', 'is not read again');
  await all.share('3');
  const left = ['2', '3'].map((version) => servedName(version, imageOf(version).sha256));
  t.deepEqual((await all.images()).sort(), left.sort());
  t.deepEqual(
    (await shareFiles(true, all))!.sort(),
    ['2', '3'].map((version) => imageOf(version).sha256).sort(),
  );
});

test('it takes no room that orders, states or bundles were promised', async (t) => {
  const all = await places(t);
  await shareFiles(true, all);
  all.sizes.free = RESERVE + imageOf('1').size - 1;
  await t.throwsAsync(all.share('1'), { code: 'SHARE_NO_SPACE' });
  all.sizes.free = 2 ** 40;
  // A state may take all of it, and has not yet.
  await mkdir(join(all.states, 'fleet.db'), { recursive: true });
  await writeFile(join(all.states, 'fleet.db/bytes'), `${2 ** 40 - RESERVE - 3}`);
  await t.throwsAsync(all.share('1'), { code: 'SHARE_NO_SPACE' });
  t.deepEqual(await all.images(), []);
});

test('a disk on which nothing can be shared is told of the mirror alone; all services go on', async (t) => {
  const node = await setUp(t);
  const bundle = await makeBundle(node.folder);
  const mounts = [{ kind: 'images', path: '/srv' }];
  const mirror = released('fleet/web', '1', bundle, manifestOf({ mounts }));
  const other = released('fleet/other', '1', bundle, manifestOf());
  await node.keys.publish(node.at('handed'), [targetOf(mirror), targetOf(other)]);
  node.order(mirror, other);
  await node.fetch(mirror);
  await writeFile(node.at('shared'), 'no folder can be made here');
  await node.apply();
  const told = (await node.apply()).map(({ name, state, why }) => [
    name,
    state,
    why.replace(/: .*\[/, ': ['),
  ]);
  t.deepEqual(told, [
    ['fleet/web', 'running', 'neighbours are told of nothing here, as it cannot be laid out: [SHARE_FAILED]'],
    ['fleet/other', 'running', ''],
  ]);
  t.deepEqual(await node.shared(), []);
  node.order(other);
  t.like(await node.apply(), [{ name: 'fleet/other', state: 'running', why: '' }], 'nor when it has ended');
});

test('files are shared while an instance serves them, and only then; it waits for its disk', async (t) => {
  const node = await setUp(t);
  const bundle = await makeBundle(node.folder);
  const mirror = released(
    'fleet/web',
    '1',
    bundle,
    manifestOf({ mounts: [{ kind: 'images', path: '/srv' }] }),
  );
  const other = released(
    'fleet/web',
    '2',
    await makeBundle(node.folder, { more: '/etc/hostname' }),
    manifestOf(),
  );
  await node.keys.publish(node.at('handed'), [targetOf(mirror), targetOf(other)]);
  node.order(mirror);
  await node.fetch(mirror);
  node.keep(null);
  t.regex((await node.apply())[0]!.why, /SERVICE_STATE_ABSENT/);
  node.keep('disk');
  t.deepEqual(await node.shared(), [bundle.sha256]);
  const { mounts } = await node.config();
  const bound = mounts.find(({ destination }: { destination: string }) => destination === '/srv');
  t.is(bound.source, node.at('shared'));
  await writeFile(join(node.at('shared'), 'images', servedName('5', digest('5'))), '5');
  t.deepEqual(await node.shared(), [bundle.sha256, digest('5')]);
  node.order(other);
  await node.fetch(other);
  t.is(await node.shared(), undefined);
  t.deepEqual(await readdir(node.at('shared')), []);
});
