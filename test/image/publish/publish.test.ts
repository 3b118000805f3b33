/** Release metadata as it is published, seen by tuf-js's own client, which shares no code with ours for fetching and order. */
import { cp, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { Updater } from 'tuf-js';
import type { DataPaths } from '../../../base/paths.ts';
import { release, releaseByItself, renew, unrelease } from '../../../image/publish/publish.ts';
import { Released } from '../../../image/publish/released.ts';
import { metadataFolder, readRepository, write } from '../../../image/publish/repository.ts';
import { keyLayout } from '../../../keys/layout.ts';
import { RELEASE_LIFE } from '../../../keys/release/roles.ts';
import { ANY_MACHINE } from '../../../protocol/release-target.ts';
import { build, contentOf, fleet, scratch, serve } from './support.ts';

const DAY = 24 * 3600_000;

/** tuf-js as it comes, which begins with the fleet's first root. */
async function client(t: ExecutionContext, paths: DataPaths, url: string) {
  const folder = await scratch(t);
  await cp(keyLayout(paths.keys).release.root, join(folder, 'root.json'));
  const refreshed = () =>
    new Updater({
      metadataDir: folder,
      metadataBaseUrl: `${url}/metadata`,
      targetDir: folder,
      targetBaseUrl: url,
      config: { fetchRetries: 0 },
    });
  return {
    folder,
    async fetch(version: string): Promise<Buffer | null> {
      const updater = refreshed();
      const target = await updater.getTargetInfo(`bootwave_${version}.efi`);
      return target === undefined ? null : readFile(await updater.downloadTarget(target));
    },
  };
}

test('a stock TUF client finds what is released, and nothing else', async (t) => {
  const paths = await fleet(t);
  const manifest = await build(paths, '1.0.0');
  await build(paths, '2.0.0');
  await release(manifest, { paths });
  const { url } = await serve(t, paths);
  const stock = await client(t, paths, url);
  t.deepEqual(await stock.fetch('1.0.0'), contentOf('1.0.0'));
  t.is(await stock.fetch('2.0.0'), null, 'built, not released');
  await release(await build(paths, '2.0.0'), { paths });
  t.deepEqual(await stock.fetch('2.0.0'), contentOf('2.0.0'));
  t.deepEqual(await unrelease(['1.0.0', '9'], { paths }), ['1.0.0']);
  t.is(await stock.fetch('1.0.0'), null);
  t.deepEqual(await stock.fetch('2.0.0'), contentOf('2.0.0'));
});

test('the server knows an image by its digest too, and no metadata by any other name', async (t) => {
  const paths = await fleet(t);
  const manifest = await build(paths, '1.0.0');
  await release(manifest, { paths });
  await writeFile(join(metadataFolder(paths.releases), 'secret'), 'x');
  const { url } = await serve(t, paths);
  const status = async (path: string) => (await fetch(`${url}/${path}`)).status;
  t.is(await status(`${manifest.sha256}.bootwave_1.0.0.efi`), 200);
  t.is(await status(`${'0'.repeat(64)}.bootwave_1.0.0.efi`), 404);
  t.is(await status('metadata/timestamp.json'), 200);
  t.is(await status('metadata/1.root.json'), 200);
  t.is(await status('metadata/2.root.json'), 404);
  for (const path of ['metadata/secret', 'metadata/..%2f.lock', 'metadata/.', 'metadata/root.json'])
    t.is(await status(path), 404, path);
});

test('what is released says which machines, which PCR 11, and stays as it is when it is said again', async (t) => {
  const paths = await fleet(t);
  const manifest = await build(paths, '1.0.0');
  const released = new Released(paths.releases);
  t.is(await released.images(), null);
  const machines = { ...ANY_MACHINE, firmware: ['uefi' as const] };
  await release(manifest, { paths, machines });
  const { pcr11 } = manifest;
  t.deepEqual((await released.images())?.get('1.0.0'), {
    format: 1,
    version: '1.0.0',
    pcr11,
    kernel: '6.1.0',
    machines,
  });
  const before = await readRepository(paths.releases);
  await release(manifest, { paths, machines });
  t.is((await readRepository(paths.releases))!.timestamp.signed.version, before!.timestamp.signed.version);
  const other = await build(paths, '1.0.0', Buffer.from('other bytes'));
  await t.throwsAsync(release(other, { paths }), { code: 'RELEASE_CONFLICT' });
});

test('what nobody can fetch any more is dropped with the next release', async (t) => {
  const paths = await fleet(t);
  await release(await build(paths, '1.0.0'), { paths });
  await rm(join(paths.images, 'bootwave_1.0.0.json'));
  await release(await build(paths, '2.0.0'), { paths });
  t.deepEqual([...(await new Released(paths.releases).images())!.keys()], ['2.0.0']);
});

test('timestamp and snapshot are signed anew in the second half of their lives, targets while their key is here', async (t) => {
  const paths = await fleet(t);
  t.false(await renew({ paths }), 'nothing was ever released');
  const now = Date.now();
  await release(await build(paths, '1.0.0'), { paths, now });
  const versions = async () => {
    const { timestamp, snapshot, targets } = (await readRepository(paths.releases))!;
    return [timestamp, snapshot, targets].map(({ signed }) => signed.version);
  };
  const first = await versions();
  t.false(await renew({ paths, now: now + RELEASE_LIFE.timestamp / 2 - 60_000 }));
  t.true(await renew({ paths, now: now + RELEASE_LIFE.timestamp / 2 + 60_000 }));
  const second = await versions();
  t.true(second[0]! > first[0]!);
  t.deepEqual(second.slice(1), first.slice(1));
  t.true(await renew({ paths, now: now + RELEASE_LIFE.snapshot / 2 + DAY }));
  const third = await versions();
  t.true(third[0]! > second[0]! && third[1]! > second[1]!);
  t.is(third[2], first[2]);
  t.true(await renew({ paths, now: now + RELEASE_LIFE.targets / 2 + DAY }));
  t.true((await versions())[2]! > first[2]!);
});

test('without the targets key on this machine an image is not released by itself, and is not renewed', async (t) => {
  const paths = await fleet(t);
  const now = Date.now();
  await release(await build(paths, '1.0.0'), { paths, now });
  const { folder } = keyLayout(paths.keys).release;
  for (const name of await readdir(folder)) if (name.startsWith('targets-')) await rm(join(folder, name));
  const manifest = await build(paths, '2.0.0');
  t.false(await releaseByItself(manifest, { paths, now }));
  await t.throwsAsync(release(manifest, { paths, now }), {
    code: 'RELEASE_KEYS_ABSENT',
    message: /--keys DIRECTORY/,
  });
  t.deepEqual([...(await new Released(paths.releases).images())!.keys()], ['1.0.0']);
  t.true(await renew({ paths, now: now + 200 * DAY }), 'the others go on');
  await t.throwsAsync(renew({ paths, now: now + 366 * DAY }), { code: 'RELEASE_METADATA_EXPIRED' });
});

test('after an old backup was restored, what is published next is newer than what nodes have seen', async (t) => {
  const paths = await fleet(t);
  const now = Date.now();
  await release(await build(paths, '1.0.0'), { paths, now });
  const backup = await scratch(t);
  await cp(paths.releases, backup, { recursive: true, verbatimSymlinks: true });
  const { url } = await serve(t, paths);
  const stock = await client(t, paths, url);
  for (const [i, version] of ['2.0.0', '3.0.0', '4.0.0'].entries())
    await release(await build(paths, version), { paths, now: now + 60_000 + i });
  t.deepEqual(await stock.fetch('4.0.0'), contentOf('4.0.0'));
  await rm(paths.releases, { recursive: true });
  await cp(backup, paths.releases, { recursive: true, verbatimSymlinks: true });
  await t.throwsAsync(stock.fetch('1.0.0'), { message: /less than current version/ });
  await release(await build(paths, '2.0.0'), { paths, now: now + 120_000 });
  t.deepEqual(await stock.fetch('2.0.0'), contentOf('2.0.0'));
});

test('a publication that is cut off at any point leaves what was served, and the next one goes through', async (t) => {
  const paths = await fleet(t);
  await release(await build(paths, '1.0.0'), { paths });
  const before = (await readRepository(paths.releases))!;
  // All of the next state is on the disk, and the link was not turned.
  await write(paths.releases, new Map([['timestamp.json', Buffer.from('half')]]));
  await mkdir(join(paths.releases, 'metadata-999'), { recursive: true });
  await writeFile(join(paths.releases, '.metadata'), 'a link that was not turned');
  t.deepEqual((await readRepository(paths.releases))!.files, before.files);
  await release(await build(paths, '2.0.0'), { paths });
  t.deepEqual([...(await new Released(paths.releases).images())!.keys()].sort(), ['1.0.0', '2.0.0']);
  t.deepEqual((await readdir(paths.releases)).filter((name) => name.startsWith('metadata-')).length, 1);
});

test('two who release at once both succeed', async (t) => {
  const paths = await fleet(t);
  const manifests = [];
  for (const version of ['1', '2', '3', '4']) manifests.push(await build(paths, version));
  await Promise.all(manifests.map((manifest) => release(manifest, { paths })));
  t.deepEqual([...(await new Released(paths.releases).images())!.keys()].sort(), ['1', '2', '3', '4']);
});
