import { createHash } from 'node:crypto';
import { link, mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { digestOfFile } from '../../base/files.ts';
import { type DataPaths, dataPaths } from '../../base/paths.ts';
import { mustRun } from '../../base/run.ts';
import { bundleAgent } from '../../image/build/agent-bundle.ts';
import { buildImage } from '../../image/build/build.ts';
import { digestOf, digestOfTree, REPOSITORY } from '../../image/build/cache.ts';

import { withLock } from '../../image/build/lock.ts';
import { imageFile, type Manifest, publishedVersions, readManifest } from '../../image/build/manifest.ts';
import { initKeys } from '../../keys/init.ts';

export type SharedImage = {
  /** Only for reading: every test of this checkout uses it. `borrowImage` gives a data directory to write in. */
  paths: DataPaths;
  version: string;
  /** Path of the signed image. */
  file: string;
  manifest: Manifest;
};

/** Of the image that is made of this checkout's sources. */
export async function sharedVersion(): Promise<string> {
  return `0.0.0-${(await sourceDigest()).slice(0, 12)}`;
}

/**
 * A data directory with keys, loaders and one image made of this checkout's sources. The first test that asks builds
 * it, which takes minutes on a machine that never built one; it is built anew when the sources change.
 */
export async function sharedImage(onText: (text: string) => void = () => {}): Promise<SharedImage> {
  const folder = join(REPOSITORY, '.build/test-data');
  await mkdir(folder, { recursive: true });
  return await withLock(join(folder, '.lock'), async () => {
    const paths = dataPaths(join(folder, 'data'));
    const version = await sharedVersion();
    const published = await publishedVersions(paths.images);
    if (!published.includes(version)) {
      // An image that is signed again has other bytes, and a version is released once.
      for (const old of [paths.images, paths.releases]) await rm(old, { recursive: true, force: true });
      await initKeys(paths.keys);
      await buildImage({ paths, version, onProgress: ({ text }) => onText(text) });
    }
    const manifest = await readManifest(paths.images, version);
    return { paths, version, file: imageFile(paths.images, version), manifest };
  });
}

/**
 * A data directory of its own in `root` with the shared keys, loaders and image, for tests that write there (leases,
 * Redis). The image is a hard link where the file systems allow: never change its bytes in place.
 */
export async function borrowImage(root: string): Promise<SharedImage> {
  const shared = await sharedImage();
  const paths = dataPaths(root);
  for (const folder of [paths.images, paths.loaders]) await mkdir(folder, { recursive: true });
  await mustRun('cp', ['-a', shared.paths.keys, shared.paths.releases, root]);
  for (const kind of ['images', 'loaders'] as const) {
    for (const name of await readdir(shared.paths[kind])) {
      if (name.startsWith('.')) continue;
      const from = join(shared.paths[kind], name);
      const to = join(paths[kind], name);
      await link(from, to).catch(() => mustRun('cp', ['-a', from, to]));
    }
  }
  return { ...shared, paths, file: imageFile(paths.images, shared.version) };
}

/**
 * Everything in the repository that an image is made of, in one digest: what a cached image must be compared with.
 * The packages' versions and the fleet's keys are not in it.
 */
async function sourceDigest(): Promise<string> {
  const bundles = await bundleAgent(join(REPOSITORY, 'image/agent'));
  const folders = ['image/build', 'image/rootfs', 'image/agent/member/link/relay'];
  return digestOf({
    folders: await Promise.all(folders.map((folder) => digestOfTree(join(REPOSITORY, folder)))),
    bundles: [...bundles].map(([name, content]) => [
      name,
      createHash('sha256').update(content).digest('hex'),
    ]),
    lock: await digestOfFile(join(REPOSITORY, 'package-lock.json')),
  });
}
