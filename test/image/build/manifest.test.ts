import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { codeOf } from '../../../base/error.ts';
import {
  imageFile,
  type Manifest,
  manifestFile,
  publish,
  publishedVersions,
  readManifest,
} from '../../../image/build/manifest.ts';

const manifest = (version: string): Manifest => ({
  version,
  size: 3,
  sha256: 'a'.repeat(64),
  unsignedSha256: 'b'.repeat(64),
  pcr11: 'c'.repeat(64),
  kernel: '6.1.0-1-amd64',
  parts: [{ name: 'all', bytes: 3 }],
  firmwareMissing: [],
  builtFrom: 'd'.repeat(64),
  packages: [{ name: 'systemd', version: '252' }],
});

async function folderOf(t: ExecutionContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'bootwave-images-'));
  t.teardown(() => rm(folder, { recursive: true }));
  return folder;
}

let made = 0;
async function files(folder: string, version: string, content: string) {
  made += 1;
  const pair = { image: join(folder, `.i${made}`), manifest: join(folder, `.m${made}`) };
  await writeFile(pair.image, content);
  await writeFile(pair.manifest, JSON.stringify(manifest(version)));
  return pair;
}

test('a published version is never overwritten', async (t) => {
  const images = await folderOf(t);
  await publish(images, '1.0', await files(images, '1.0', 'one'));
  const error = await t.throwsAsync(publish(images, '1.0', await files(images, '1.0', 'two')));
  t.is(codeOf(error), 'IMAGE_VERSION_EXISTS');
  t.is(await readFile(imageFile(images, '1.0'), 'utf8'), 'one');
});

test('of many builders of one version exactly one publishes, and file and manifest are of the same one', async (t) => {
  const images = await folderOf(t);
  const builders = await Promise.all(
    Array.from({ length: 8 }, async (_, i) => {
      const pair = await files(images, '1.0', `image ${i}`);
      await writeFile(pair.manifest, JSON.stringify({ ...manifest('1.0'), kernel: `image ${i}` }));
      return pair;
    }),
  );
  const results = await Promise.allSettled(builders.map((pair) => publish(images, '1.0', pair)));
  t.is(results.filter(({ status }) => status === 'fulfilled').length, 1);
  t.is((await readManifest(images, '1.0')).kernel, await readFile(imageFile(images, '1.0'), 'utf8'));
});

test('an image without a manifest was never published, and its version is free', async (t) => {
  const images = await folderOf(t);
  await writeFile(imageFile(images, '1.0'), 'half');
  t.deepEqual(await publishedVersions(images), []);
  t.is(codeOf(await t.throwsAsync(readManifest(images, '1.0'))), 'IMAGE_UNKNOWN');
  await publish(images, '1.0', await files(images, '1.0', 'whole'));
  t.is(await readFile(imageFile(images, '1.0'), 'utf8'), 'whole');
});

test('versions are listed newest first; other files are no versions', async (t) => {
  const images = await folderOf(t);
  for (const name of [
    'bootwave_1.9.json',
    'bootwave_1.10.json',
    'bootwave_2~rc1.json',
    'bootwave_A.json',
    'x.json',
  ])
    await writeFile(join(images, name), '{}');
  t.deepEqual(await publishedVersions(images), ['2~rc1', '1.10', '1.9']);
  t.deepEqual(await publishedVersions(join(images, 'none')), []);
});

test('a damaged manifest is refused with a code, and a name that is no version reads no file', async (t) => {
  const images = await folderOf(t);
  await writeFile(manifestFile(images, '1.0'), JSON.stringify({ ...manifest('1.0'), sha256: 'x' }));
  t.is(codeOf(await t.throwsAsync(readManifest(images, '1.0'))), 'IMAGE_MANIFEST_INVALID');
  t.is(codeOf(await t.throwsAsync(readManifest(images, '../1.0'))), 'IMAGE_UNKNOWN');
  t.deepEqual(
    (await readdir(images)).filter((name) => name.startsWith('.')),
    [],
  );
});
