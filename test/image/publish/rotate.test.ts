/** Changes of release keys, and what they leave where. What nodes make of them is in test/image/agent/member/release and root/release. */
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import type { DataPaths } from '../../../base/paths.ts';
import { release, renew, verify } from '../../../image/publish/publish.ts';
import { Released } from '../../../image/publish/released.ts';
import { readRepository } from '../../../image/publish/repository.ts';
import { roles } from '../../../image/publish/roles.ts';
import { ceremony, rotate } from '../../../image/publish/rotate.ts';
import { keyLayout } from '../../../keys/layout.ts';
import { initReleaseKeys } from '../../../keys/release/init.ts';
import { mediumFolder } from '../../../keys/release/ring.ts';
import { checkReleases } from '../../../orchestrator/doctor/releases.ts';
import { build, fleet, scratch } from './support.ts';

const keysIn = async (folder: string) =>
  (await readdir(folder))
    .filter((name) => name.endsWith('.key'))
    .map((name) => name.split('-')[0])
    .sort();
const here = (paths: DataPaths) => keysIn(keyLayout(paths.keys).release.folder);
const listed = async (paths: DataPaths) => [...(await new Released(paths.releases).images())!.keys()].sort();

test('after the ceremony this machine signs no release; whoever brings the storage does', async (t) => {
  const paths = await fleet(t);
  await release(await build(paths, '1'), { paths });
  const media = [await scratch(t), await scratch(t), await scratch(t)];
  await ceremony({ directories: media, threshold: 2, targetsThreshold: 2 }, { paths });
  t.deepEqual(await here(paths), ['snapshot', 'timestamp']);
  for (const medium of media) t.deepEqual(await keysIn(mediumFolder(medium)), ['root', 'targets']);
  t.deepEqual(await initReleaseKeys(paths.keys), [], 'init makes no keys that no root names');
  t.deepEqual(
    (await roles(paths, media.slice(0, 2))).map(({ role, keys, threshold, here }) => [
      role,
      keys.length,
      threshold,
      here,
    ]),
    [
      ['root', 3, 2, 2],
      ['targets', 3, 2, 2],
      ['snapshot', 1, 1, 1],
      ['timestamp', 1, 1, 1],
    ],
  );
  const two = await build(paths, '2');
  await t.throwsAsync(release(two, { paths }), { code: 'RELEASE_KEYS_ABSENT' });
  await t.throwsAsync(release(two, { paths, media: media.slice(0, 1) }), { code: 'RELEASE_KEYS_ABSENT' });
  await release(two, { paths, media: media.slice(1) });
  t.deepEqual(await listed(paths), ['1', '2']);
  t.true(await renew({ paths, now: Date.now() + 25 * 3600_000 }), 'the server goes on without them');
});

test('keys on removable storage are changed where they are, and a lost one by another ceremony', async (t) => {
  const paths = await fleet(t);
  await release(await build(paths, '1'), { paths });
  const media = [await scratch(t), await scratch(t)];
  const thresholds = { threshold: 1, targetsThreshold: 1 };
  await ceremony({ directories: media, ...thresholds }, { paths });
  const before = await readdir(mediumFolder(media[0]!));
  await t.throwsAsync(rotate('targets', { paths }), { code: 'RELEASE_KEYS_ABSENT' });
  await rotate('targets', { paths, media: media.slice(0, 1) });
  const after = await readdir(mediumFolder(media[0]!));
  t.is(after.filter((name) => !before.includes(name)).length, 1);
  t.deepEqual(await keysIn(mediumFolder(media[0]!)), ['root', 'targets']);
  await release(await build(paths, '2'), { paths, media: media.slice(0, 1) });
  await release(await build(paths, '3'), { paths, media: media.slice(1) });
  // The second one is lost.
  const fresh = await scratch(t);
  await ceremony({ directories: [fresh], ...thresholds }, { paths, media: media.slice(0, 1) });
  const four = await build(paths, '4');
  await t.throwsAsync(release(four, { paths, media: media.slice(1) }), { code: 'RELEASE_KEYS_ABSENT' });
  await release(four, { paths, media: [fresh] });
  t.deepEqual(await keysIn(mediumFolder(media[0]!)), [], 'what counts no more is taken away');
  t.deepEqual(await listed(paths), ['1', '2', '3', '4']);
});

test('a lost timestamp key is replaced with the root key', async (t) => {
  const paths = await fleet(t);
  await release(await build(paths, '1'), { paths });
  const { folder } = keyLayout(paths.keys).release;
  for (const name of await readdir(folder)) if (name.startsWith('timestamp-')) await rm(join(folder, name));
  await t.throwsAsync(release(await build(paths, '2'), { paths }), { code: 'RELEASE_KEYS_ABSENT' });
  const { root } = await rotate('timestamp', { paths });
  t.is(root, 2);
  await release(await build(paths, '2'), { paths });
  t.deepEqual(await listed(paths), ['1', '2']);
});

test('a ceremony that cannot be held leaves all as it was', async (t) => {
  const paths = await fleet(t);
  await release(await build(paths, '1'), { paths });
  const before = (await readRepository(paths.releases))!.files;
  const empty = await scratch(t);
  const used = await scratch(t);
  await mkdir(mediumFolder(used));
  await writeFile(join(mediumFolder(used), 'another-fleet.key'), 'x');
  const inside = join(paths.root, 'usb');
  await mkdir(inside);
  const hold = (directories: string[], threshold = 1) =>
    ceremony({ directories, threshold, targetsThreshold: 1 }, { paths });
  for (const directories of [[used], [inside], [join(empty, 'absent')], [empty, empty]])
    await t.throwsAsync(hold(directories), { code: 'RELEASE_MEDIUM' }, directories.join());
  await t.throwsAsync(hold([empty], 2), { code: 'RELEASE_THRESHOLD' });
  const { folder } = keyLayout(paths.keys).release;
  for (const name of await readdir(folder)) if (name.startsWith('snapshot-')) await rm(join(folder, name));
  // The new targets ask for a new snapshot, whose key is absent: found out after the new keys were made.
  await t.throwsAsync(hold([empty]), { code: 'RELEASE_KEYS_ABSENT' });
  t.deepEqual(await keysIn(mediumFolder(empty)), []);
  t.deepEqual((await readRepository(paths.releases))!.files, before);
  t.deepEqual(await here(paths), ['root', 'targets', 'timestamp']);
  t.regex(await readFile(join(mediumFolder(used), 'another-fleet.key'), 'utf8'), /x/);
});

test('keys can be changed as often as it takes, and who comes late follows all of it', async (t) => {
  const paths = await fleet(t);
  await release(await build(paths, '1'), { paths });
  for (let n = 0; n < 70; n += 1) await rotate('timestamp', { paths });
  const [root] = await roles(paths);
  t.is(root?.version, 71);
  t.is((await checkReleases(paths)).status, 'ok');
  const { files } = (await readRepository(paths.releases))!;
  await t.notThrowsAsync(verify(files, null, Date.now()), 'as a node does that has seen none of it');
});
