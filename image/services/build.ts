/** The fleet's own services: a root with one Debian program and the libraries that it needs. */
import { cp, mkdir, readdir, readFile, realpath, symlink, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { BootwaveError } from '../../base/error.ts';
import { exists } from '../../base/files.ts';
import { mustRun } from '../../base/run.ts';
import { Apt, aptSources, type Package, packageDate } from '../build/apt.ts';
import { cacheFolder } from '../build/cache.ts';
import { neededBy } from '../build/elf.ts';
import { withLock } from '../build/lock.ts';
import { BLOCKS, type Block } from './blocks.ts';
import { mustBeRoot } from './failure.ts';
import { merge, readWritten } from './merge.ts';
import { copyOwn, ownVersion } from './own.ts';
import { inWork, type Packed, packRoot, type RootOptions } from './pack.ts';

type BlockRoot = Pick<RootOptions, 'root' | 'service' | 'manifest' | 'date'>;

const LIBRARIES = 'usr/lib/x86_64-linux-gnu';
const LOADER = 'usr/lib64/ld-linux-x86-64.so.2';

/**
 * The same Debian packages give the same bundle.
 * @param out the bundle @throws BootwaveError `SERVICE_BLOCK`, `ARCHIVE_UNREACHABLE`, and as `packRoot`
 */
export async function buildBlock(name: string, out: string, signal?: AbortSignal): Promise<Packed> {
  blockOf(name);
  mustBeRoot();
  return inWork(out, async (work) =>
    packRoot({ ...(await blockRoot(name, work, signal)), out, ...(signal && { signal }) }),
  );
}

/** What becomes the bundle. @param work an empty folder @throws BootwaveError `SERVICE_BLOCK`, `ARCHIVE_UNREACHABLE` */
export async function blockRoot(name: string, work: string, signal?: AbortSignal): Promise<BlockRoot> {
  const block = blockOf(name);
  const full = join(work, 'full');
  const { version, date } = await unpackDebian(block, full, signal);
  const root = join(work, 'root');
  const own = join(import.meta.dirname, name);
  await makeRoot(block, { full, root, files: join(own, 'files') });
  const manifest = merge(readWritten(await readFile(join(own, 'service.yaml'), 'utf8')), {}, null);
  return { root, service: { name: `fleet/${name}`, version }, manifest, date };
}

function blockOf(name: string): Block {
  const block = Object.hasOwn(BLOCKS, name) ? BLOCKS[name] : undefined;
  if (block !== undefined) return block;
  throw failure(
    `the fleet has no service '${name.slice(0, 64)}' of its own`,
    `one of ${Object.keys(BLOCKS).join(', ')} is needed`,
  );
}

/** Debian's version in our grammar: without the epoch, and `.` for `+`. */
export const serviceVersion = (debian: string): string =>
  debian.replace(/^\d+:/, '').replaceAll('+', '.').toLowerCase();

/** Programs and every library of what they depend on. What is fetched is checked by apt and kept for the next time. */
async function unpackDebian({ packages, own }: Block, full: string, signal?: AbortSignal) {
  const cache = join(cacheFolder(), 'services');
  await mkdir(cache, { recursive: true });
  const debs = await withLock(join(cache, '.lock'), () => fetchDebian(packages, cache, signal), signal);
  await mkdir(full);
  for (const { deb } of debs) await mustRun('dpkg', ['-x', deb, full]);
  const first = debs.find((one) => one.name === packages[0]);
  if (first === undefined)
    throw failure(`the Debian archive has no ${packages[0]}`, 'check BOOTWAVE_APT_SOURCES');
  const version = own === undefined ? serviceVersion(first.version) : await ownVersion(debs);
  return { version, date: await packageDate(first.deb) };
}

async function fetchDebian(packages: readonly string[], cache: string, signal?: AbortSignal) {
  const apt = new Apt(join(cache, 'apt'), await aptSources(), signal);
  await apt.prepare();
  const all = await apt.installs(packages);
  // What else they depend on is for an installed system: scripts, a shell, an init.
  const wanted = all.filter(({ name }) => packages.includes(name) || /^(?:lib(?!.*perl)|zlib)/.test(name));
  const folder = join(cache, 'debs');
  await mkdir(folder, { recursive: true });
  const there = await readdir(folder);
  const missing = wanted.filter((one) => fileOf(one, there) === undefined);
  if (missing.length > 0)
    await apt.run(
      'apt-get',
      ['-qq', 'download', ...missing.map((one) => `${one.name}=${one.version}`)],
      folder,
    );
  const files = await readdir(folder);
  return wanted.map((one) => ({ ...one, deb: join(folder, fileOf(one, files) ?? '') }));
}

/** As `apt-get download` calls it. */
const fileOf = ({ name, version }: Package, files: readonly string[]): string | undefined =>
  files.find((file) => file.startsWith(`${name}_${version.replaceAll(':', '%3a')}_`));

async function makeRoot(
  { keep, own }: Block,
  { full, root, files }: { full: string; root: string; files: string },
): Promise<void> {
  for (const folder of ['usr/bin', 'usr/sbin', LIBRARIES, 'usr/lib64', 'etc'])
    await mkdir(join(root, folder), { recursive: true });
  for (const folder of ['bin', 'sbin', 'lib', 'lib64']) await symlink(`usr/${folder}`, join(root, folder));
  for (const path of keep) await copy(join(full, path), join(root, path));
  if (own !== undefined) await copyOwn(root);
  await copyLibraries(full, root);
  await writeFile(join(root, 'etc/passwd'), 'root:x:0:0::/:/nologin\nnobody:x:65534:65534::/:/nologin\n');
  await writeFile(join(root, 'etc/group'), 'root:x:0:\nnogroup:x:65534:\n');
  await writeFile(join(root, 'etc/nsswitch.conf'), 'passwd: files\ngroup: files\nhosts: files dns\n');
  if (await exists(files)) await cp(files, root, { recursive: true });
  // Nothing may depend on who builds and with which umask.
  await mustRun('chown', ['-Rh', '0:0', root]);
  await mustRun('chmod', ['-R', 'u=rwX,go=rX', root]);
}

/** By what their dynamic sections name, and what is named in turn. */
async function copyLibraries(full: string, root: string): Promise<void> {
  const places = [LIBRARIES, 'lib/x86_64-linux-gnu', 'usr/lib64', 'lib64'].map((folder) =>
    join(full, folder),
  );
  const programs = [join(root, 'usr/bin'), join(root, 'usr/sbin')];
  const waiting: string[] = [];
  for (const folder of programs) for (const name of await readdir(folder)) waiting.push(join(folder, name));
  const done = new Set<string>();
  while (waiting.length > 0) {
    const needed = [...(await neededBy(waiting.splice(0))).values()].flat();
    for (const name of needed) {
      if (done.has(name)) continue;
      done.add(name);
      const from = await firstOf(places.map((folder) => join(folder, name)));
      if (from === null)
        throw failure(`no package of it provides ${name}`, 'add the package to image/services/blocks.ts');
      const to = join(root, name.startsWith('ld-linux') ? LOADER : `${LIBRARIES}/${name}`);
      await copy(from, to);
      waiting.push(to);
    }
  }
  // The kernel asks for it by name, whether or not a library does.
  const loader = await firstOf(places.map((folder) => join(folder, basename(LOADER))));
  if (loader !== null) await copy(loader, join(root, LOADER));
}

/** The file that a path leads to. Absolute links of a package lead into the unpacked root. */
async function firstOf(paths: readonly string[]): Promise<string | null> {
  for (const path of paths) {
    const found = await realpath(path).catch(() => null);
    if (found !== null) return found;
  }
  return null;
}

async function copy(from: string, to: string): Promise<void> {
  await mkdir(dirname(to), { recursive: true });
  await cp(from, to, { dereference: true, recursive: true });
}

function failure(what: string, next: string): BootwaveError {
  return new BootwaveError({ code: 'SERVICE_BLOCK', what, unchanged: 'nothing was published', next });
}
