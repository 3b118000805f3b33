import { copyFile, mkdir, readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { mustRun } from '../../base/run.ts';
import { loadOrder, type ModuleTables, moduleName, resolveModules } from './kernel-modules.ts';
import { INITRD_MODULES, MODULE_GROUPS } from './modules.ts';
import { squash } from './squashfs.ts';

/** A driver that asks for files which Debian's main archive does not have; it may not work without them. */
export type MissingFirmware = { module: string; files: string[] };

export type KernelParts = {
  /** `uname -r`. */
  release: string;
  /** Names of what the initrd loads, in order; the files lie in `initrd/<name>.ko`. */
  initrd: string[];
  /** Bytes of modules before packing. */
  unpacked: number;
  count: number;
  firmwareMissing: MissingFirmware[];
};

/**
 * Unpacks the kernel package and packs the chosen modules: `vmlinuz`, `modules.squashfs`, `initrd/*.ko` and
 * `kernel.json` in `folder`.
 * @param date seconds since the epoch
 */
export async function makeKernelParts(
  folder: string,
  deb: string,
  date: number,
  signal?: AbortSignal,
): Promise<void> {
  const options = signal === undefined ? {} : { signal };
  const unpacked = join(folder, 'unpacked');
  await mustRun('dpkg-deb', ['-x', deb, unpacked], options);
  const [release] = await readdir(join(unpacked, 'lib/modules'));
  const source = join(unpacked, 'lib/modules', release!);
  await mustRun('depmod', ['-b', unpacked, release!], options);
  const table = (name: string) => readFile(join(source, name), 'utf8');
  const tables: ModuleTables = {
    dep: await table('modules.dep'),
    builtin: await table('modules.builtin'),
    softdep: await table('modules.softdep'),
  };
  const chosen = resolveModules(tables, [
    ...MODULE_GROUPS.flatMap((group) => group.modules),
    ...INITRD_MODULES,
  ]);

  const tree = join(folder, 'tree');
  const target = join(tree, 'lib/modules', release!);
  let bytes = 0;
  for (const path of chosen) {
    await mkdir(dirname(join(target, path)), { recursive: true });
    await copyFile(join(source, path), join(target, path));
    bytes += (await readFile(join(target, path))).length;
  }
  for (const name of ['modules.order', 'modules.builtin', 'modules.builtin.modinfo'])
    await copyFile(join(source, name), join(target, name));
  await mustRun('depmod', ['-b', tree, release!], options);

  const initrd = loadOrder(tables, INITRD_MODULES);
  await mkdir(join(folder, 'initrd'));
  for (const path of initrd)
    await copyFile(join(source, path), join(folder, 'initrd', `${moduleName(path)}.ko`));
  const parts: KernelParts = {
    release: release!,
    initrd: initrd.map(moduleName),
    unpacked: bytes,
    count: chosen.length,
    firmwareMissing: await firmwareOf(target, chosen),
  };
  await squash(join(tree, 'lib/modules'), join(folder, 'modules.squashfs'), date, 1 << 20, signal);
  await rename(join(unpacked, 'boot', `vmlinuz-${release}`), join(folder, 'vmlinuz'));
  await mustRun('rm', ['-rf', '--one-file-system', unpacked, tree], options);
  await writeFile(join(folder, 'kernel.json'), JSON.stringify(parts));
}

async function firmwareOf(folder: string, modules: readonly string[]): Promise<MissingFirmware[]> {
  const found: MissingFirmware[] = [];
  for (const path of modules) {
    const { stdout } = await mustRun('modinfo', ['-F', 'firmware', join(folder, path)]);
    const files = stdout.split('\n').filter(Boolean);
    if (files.length > 0) found.push({ module: moduleName(path), files: [...new Set(files)].sort() });
  }
  return found.sort((a, b) => (a.module < b.module ? -1 : 1));
}
