import { lstat, readdir, readFile, readlink, rm, stat, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { BootwaveError } from '../../base/error.ts';
import { mustRun } from '../../base/run.ts';
import { neededBy, reach } from './elf.ts';
import { DLOPENED, DROPPED, NOT_BEFORE_SYSINIT, PROGRAM_PREFIXES, PROGRAMS, UNUSED_UNITS } from './keep.ts';
import { LINKS } from './links.ts';
import { replaceCurl } from './no-curl.ts';

const LIBRARIES = 'usr/lib/x86_64-linux-gnu';

/**
 * Cuts a Debian root down to what keep.ts names.
 * @param elsewhere programs that are not in the root but run in it, whose libraries must stay
 */
export async function trim(root: string, elsewhere: readonly string[]): Promise<void> {
  for (const path of DROPPED) await rm(join(root, path), { recursive: true, force: true });
  for (const folder of ['usr/bin', 'usr/sbin']) {
    for (const name of await readdir(join(root, folder))) {
      const kept = PROGRAMS.has(name) || PROGRAM_PREFIXES.some((prefix) => name.startsWith(prefix));
      if (!kept) await rm(join(root, folder, name));
    }
  }
  await dropUnits(root);
  for (const unit of NOT_BEFORE_SYSINIT) await orderAfterSysinit(join(root, 'usr/lib/systemd/system', unit));
  await replaceCurl(join(root, LIBRARIES));
  await dropLibraries(root, elsewhere);
  await mustRun('ldconfig', ['-r', root]);
  await rm(join(root, 'var'), { recursive: true, force: true });
}

/** The units themselves, the links to them, their drop-ins, and links that would then be broken. */
async function dropUnits(root: string): Promise<void> {
  const unused = new Set(UNUSED_UNITS);
  for (const folder of ['usr/lib/systemd/system', 'etc/systemd/system']) {
    for (const path of await walk(join(root, folder))) {
      const name = basename(path);
      const parts = path.slice(root.length).split('/');
      const below = parts.some((part) => unused.has(part) || unused.has(part.replace(/\.d$/, '')));
      const target = (await lstat(path)).isSymbolicLink() ? basename(await readlink(path)) : undefined;
      if (unused.has(name) || below || (target !== undefined && unused.has(target))) await rm(path);
    }
  }
}

async function orderAfterSysinit(path: string): Promise<void> {
  const unit = await readFile(path, 'utf8');
  await writeFile(path, unit.replace(/^(Before=.*?)\bsysinit\.target ?/gm, '$1'));
}

async function dropLibraries(root: string, elsewhere: readonly string[]): Promise<void> {
  const files: string[] = [...elsewhere];
  for (const folder of ['usr/bin', 'usr/sbin', 'usr/lib', 'usr/libexec'])
    for (const path of await walk(join(root, folder))) if ((await lstat(path)).isFile()) files.push(path);
  const needed = await neededBy(
    files.filter((path) => !/\.(service|target|conf|rules|json|mjs)$/.test(path)),
  );

  // Libraries are asked for by soname, which is the name of the file or of a link to it.
  const provided = new Map<string, string[]>();
  const owner = new Map<string, string>();
  const library = join(root, LIBRARIES);
  for (const name of await readdir(library)) {
    if (!name.includes('.so')) continue;
    const path = join(library, name);
    const real = (await lstat(path)).isSymbolicLink() ? join(library, basename(await readlink(path))) : path;
    provided.set(name, needed.get(real) ?? []);
    owner.set(name, real);
  }
  const roots: string[] = [...DLOPENED];
  const isolated = new Map(provided);
  for (const [path, names] of needed) {
    if (path.startsWith(`${library}/`) && !path.slice(library.length + 1).includes('/')) continue;
    roots.push(...names);
    // Libraries in folders of their own, found by rpath (libsystemd-shared).
    isolated.set(basename(path), names);
  }
  const { reached, unresolved } = reach(roots, isolated);
  const lost = [...unresolved].filter((name) => !name.startsWith('ld-linux'));
  if (lost.length > 0) {
    throw new BootwaveError({
      code: 'IMAGE_LIBRARY_MISSING',
      what: `nothing in the image provides ${lost.join(', ')}`,
      unchanged: 'nothing was published',
      next: 'correct DLOPENED or ROOT_PACKAGES in image/build',
    });
  }
  const keep = new Set([...reached].map((name) => owner.get(name)).filter((path) => path !== undefined));
  for (const [name, real] of owner) {
    if (name.startsWith('ld-linux')) continue;
    if (!keep.has(real) || (!reached.has(name) && name !== basename(real)))
      await rm(join(library, name), { force: true });
  }
}

/** Every file and link below a folder, not the folders. */
export async function walk(folder: string): Promise<string[]> {
  const found: string[] = [];
  for (const entry of await readdir(folder, { withFileTypes: true }).catch(() => [])) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) found.push(...(await walk(path)));
    else found.push(path);
  }
  return found.sort();
}

/**
 * Every program that a unit starts must be in the image: a unit that fails on every node should fail the build.
 * @throws BootwaveError `IMAGE_PROGRAM_MISSING`
 */
export async function checkUnits(root: string, providedElsewhere: ReadonlySet<string>): Promise<void> {
  const missing: string[] = [];
  for (const [path, target] of Object.entries(LINKS)) {
    if (!target.startsWith('/') && (await stat(join(root, path)).catch(() => null)) === null)
      missing.push(`${basename(target)} (${path})`);
  }
  for (const path of await walk(join(root, 'usr/lib/systemd/system'))) {
    if (!path.endsWith('.service') || (await lstat(path)).isSymbolicLink()) continue;
    for (const [, program] of (await readFile(path, 'utf8')).matchAll(/^Exec\w+=[-@:+!]*(\/\S+)/gm)) {
      if (program === undefined || providedElsewhere.has(program)) continue;
      const there = await stat(join(root, program)).then(
        () => true,
        () => false,
      );
      if (!there) missing.push(`${program} (${basename(path)})`);
    }
  }
  if (missing.length > 0) {
    throw new BootwaveError({
      code: 'IMAGE_PROGRAM_MISSING',
      what: `units start programs that are not in the image: ${missing.join(', ')}`,
      unchanged: 'nothing was published',
      next: 'add the program to PROGRAMS or the unit to UNUSED_UNITS in image/build/keep.ts',
    });
  }
}

/**
 * No password, no shell, no date of a change, no setuid program: nobody logs in, and nothing depends on the day of the
 * build.
 */
export async function lockAccounts(root: string): Promise<void> {
  await mustRun('chmod', ['-R', 'a-s', root]);
  const passwd = await readFile(join(root, 'etc/passwd'), 'utf8');
  const lines = passwd.trim().split('\n');
  const locked: string[] = [];
  for (const line of lines) {
    const fields = line.split(':');
    const shell = fields[6] ?? '';
    const there = shell.startsWith('/usr/lib/bootwave/');
    locked.push([...fields.slice(0, 6), there ? shell : '/usr/sbin/nologin'].join(':'));
  }
  await writeFile(join(root, 'etc/passwd'), `${locked.join('\n')}\n`);
  const shadow = lines.map((line) => `${line.split(':')[0]}:*:::::::`);
  await writeFile(join(root, 'etc/shadow'), `${shadow.join('\n')}\n`);
}
