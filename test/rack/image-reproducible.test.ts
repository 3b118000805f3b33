import { mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { digestOfFile } from '../../base/files.ts';
import { buildImage } from '../../image/build/build.ts';
import { REPOSITORY } from '../../image/build/cache.ts';
import { borrowImage } from '../support/image.ts';

test('two builds from nothing give the same unsigned image, byte for byte', async (t) => {
  await mkdir(join(REPOSITORY, '.build'), { recursive: true });
  const folder = await mkdtemp(join(REPOSITORY, '.build/reproducible-'));
  t.teardown(() => rm(folder, { recursive: true }));
  const { paths } = await borrowImage(join(folder, 'data'));
  const digests: string[] = [];
  const parts: Record<string, string>[] = [];
  for (const round of ['first', 'second']) {
    process.env.BOOTWAVE_BUILD_CACHE = join(folder, round);
    // The second is signed anew, at another time: as another image of a version that is released.
    for (const made of [paths.images, paths.releases]) await rm(made, { recursive: true, force: true });
    const manifest = await buildImage({ paths, version: '1.0.0', onProgress: ({ text }) => t.log(text) });
    digests.push(manifest.unsignedSha256);
    // Which part differs is the first question when this fails.
    const of: Record<string, string> = {};
    for (const kind of ['system', 'node', 'kernel']) {
      const [entry] = await readdir(join(folder, round, kind));
      for (const file of await readdir(join(folder, round, kind, entry!)))
        if (/squashfs$|vmlinuz$/.test(file))
          of[file] = await digestOfFile(join(folder, round, kind, entry!, file));
    }
    of.packages = JSON.stringify(manifest.packages);
    parts.push(of);
    await readFile(join(paths.images, 'bootwave_1.0.0.json'));
  }
  t.deepEqual(parts[1], parts[0]);
  t.is(digests[1], digests[0]);
});
