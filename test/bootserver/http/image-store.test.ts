import { mkdir, mkdtemp, readdir, readlink, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { ImageStore, type OpenImage } from '../../../bootserver/http/image-store.ts';
import { CMDLINE, makeUki, publish, sha256, UKI, writeManifest } from './fixture.ts';

async function storeIn(t: ExecutionContext): Promise<{ folder: string; store: ImageStore }> {
  const folder = await mkdtemp(join(tmpdir(), 'bootwave-store-'));
  const store = new ImageStore(folder);
  t.teardown(async () => {
    store.close();
    await rm(folder, { recursive: true });
  });
  return { folder, store };
}

const versions = async (store: ImageStore) => (await store.list()).map((image) => image.version);

async function descriptorsBelow(folder: string): Promise<number> {
  const links = await Promise.all(
    (await readdir('/proc/self/fd')).map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => '')),
  );
  return links.filter((link) => link.startsWith(folder)).length;
}

async function contentOf({ handle, size }: OpenImage): Promise<Buffer> {
  const bytes = Buffer.alloc(size);
  await handle.read(bytes, 0, size, 0);
  return bytes;
}

test('lists what is published, newest first, and new images without a restart', async (t) => {
  const { folder, store } = await storeIn(t);
  t.deepEqual(await versions(store), []);
  t.is(await store.newest(), null);
  for (const version of ['1.9', '1.10', '2.0~rc1']) await publish(folder, version, UKI);
  t.deepEqual(await versions(store), ['2.0~rc1', '1.10', '1.9']);
  await publish(folder, '2.0', UKI);
  t.is((await store.newest())?.version, '2.0');
  t.is((await store.newest())?.sha256, sha256(UKI));
  await rm(join(folder, 'bootwave_2.0.json'));
  t.is((await store.newest())?.version, '2.0~rc1');
});

test('what an image revokes at the firmware is what its manifest says', async (t) => {
  const { folder, store } = await storeIn(t);
  await publish(folder, '1.0', UKI);
  await publish(folder, '2.0', UKI);
  const manifest = { version: '2.0', size: UKI.length, sha256: sha256(UKI) };
  const secureBootLists = { generation: 1, revokes: ['1.0'] };
  await writeFile(join(folder, 'bootwave_2.0.json'), JSON.stringify({ ...manifest, secureBootLists }));
  t.deepEqual(
    (await store.list()).map(({ version, revokes }) => [version, revokes]),
    [
      ['2.0', ['1.0']],
      ['1.0', []],
    ],
  );
});

test('an image without its manifest is not published, nor one that is not what its manifest says', async (t) => {
  const { folder, store } = await storeIn(t);
  await writeFile(join(folder, 'bootwave_1.efi'), UKI);
  await writeManifest(folder, '2', UKI.length, sha256(UKI));
  await publish(folder, '3', UKI);
  await truncate(join(folder, 'bootwave_3.efi'), UKI.length - 1);
  await publish(folder, '4', Buffer.from('not a PE file'));
  await publish(folder, '5', UKI);
  await writeFile(join(folder, 'bootwave_5.json'), '{"version":"5"');
  await publish(folder, '6', UKI);
  await writeFile(
    join(folder, 'bootwave_6.json'),
    JSON.stringify({ version: '7', size: UKI.length, sha256: sha256(UKI) }),
  );
  await publish(folder, '8', UKI);
  await rm(join(folder, 'bootwave_8.efi'));
  await symlink('/etc/passwd', join(folder, 'bootwave_8.efi'));
  await publish(folder, 'good', UKI);
  t.deepEqual(await versions(store), ['good']);
  for (const version of ['1', '2', '3', '4', '5', '6', '7', '8', '../good', '']) {
    t.is(await store.open(version), undefined, version);
  }
  t.is(await descriptorsBelow(folder), 1);
});

test('an image being read stays as it was when another takes its place, and is closed after', async (t) => {
  const { folder, store } = await storeIn(t);
  const other = makeUki([{ name: '.linux', content: Buffer.from('another') }]);
  await publish(folder, '1', UKI);
  const reading = await store.open('1');
  const also = await store.open('1');
  await publish(folder, '1', other);
  const fresh = await store.open('1');
  t.deepEqual(await contentOf(fresh as OpenImage), other);
  t.deepEqual(await contentOf(reading as OpenImage), UKI);
  t.is(fresh?.sha256, sha256(other));
  reading?.release();
  reading?.release();
  t.deepEqual(await contentOf(also as OpenImage), UKI);
  also?.release();
  fresh?.release();
  store.close();
  await new Promise((resolve) => setImmediate(resolve));
  for (let i = 0; i < 100 && (await descriptorsBelow(folder)) > 0; i += 1) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  t.is(await descriptorsBelow(folder), 0);
});

test('a hundred readers share one descriptor', async (t) => {
  const { folder, store } = await storeIn(t);
  await publish(folder, '1', UKI);
  const opened = await Promise.all(Array.from({ length: 100 }, () => store.open('1')));
  t.is(await descriptorsBelow(folder), 1);
  for (const image of opened) image?.release();
});

test('tells the built-in command line, and refuses for a version that is not there', async (t) => {
  const { folder, store } = await storeIn(t);
  await publish(folder, '1', UKI);
  await publish(folder, '2', makeUki([{ name: '.linux', content: Buffer.from('x') }]));
  t.is(await store.cmdline('1'), CMDLINE);
  t.is(await store.cmdline('2'), '');
  await t.throwsAsync(store.cmdline('3'), { code: 'IMAGE_NOT_PUBLISHED' });
});

test('a folder that is not there yet is an empty one', async (t) => {
  const { folder } = await storeIn(t);
  const later = join(folder, 'later');
  const store = new ImageStore(later);
  t.deepEqual(await store.list(), []);
  await mkdir(later);
  await publish(later, '1', UKI);
  t.deepEqual(await versions(store), ['1']);
  store.close();
});
