import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { mustRun } from '../../base/run.ts';
import type { Package } from './apt.ts';
import { ROOT_PACKAGES } from './packages.ts';

/**
 * Installs the packages into `folder`/root by mmdebstrap, and lists what was installed in `folder`/packages.json.
 * Runs in its own mount namespace: what mmdebstrap mounts disappears with it, however it ends.
 * @param date seconds since the epoch, for the few files that package scripts stamp
 */
export async function makeBaseRoot(
  folder: string,
  sources: string,
  date: number,
  onLine: (line: string) => void,
  signal?: AbortSignal,
): Promise<void> {
  const scratch = join(folder, 'scratch');
  await mkdir(scratch);
  const list = join(folder, 'sources.list');
  await writeFile(list, sources);
  const root = join(folder, 'root');
  await mustRun(
    'unshare',
    [
      '--mount',
      '--fork',
      '--kill-child=SIGTERM',
      'mmdebstrap',
      '--mode=root',
      '--variant=essential',
      '--format=directory',
      '--architectures=amd64',
      // /bin, /sbin and /lib as links into /usr from the start, as Debian itself has it.
      '--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr',
      '--aptopt=APT::Install-Recommends "false"',
      '--aptopt=Acquire::Languages "none"',
      '--dpkgopt=path-exclude=/usr/share/man/*',
      '--dpkgopt=path-exclude=/usr/share/doc/*',
      '--dpkgopt=path-exclude=/usr/share/locale/*',
      '--dpkgopt=force-unsafe-io',
      `--include=${Object.keys(ROOT_PACKAGES).join(',')}`,
      'bookworm',
      root,
      list,
    ],
    {
      env: { ...process.env, TMPDIR: scratch, SOURCE_DATE_EPOCH: String(date), LC_ALL: 'C' },
      onOutput: (text) => {
        for (const line of text.split('\n')) onLine(line);
      },
      ...(signal === undefined ? {} : { signal }),
    },
  );
  const { stdout } = await mustRun('dpkg-query', [
    `--admindir=${join(root, 'var/lib/dpkg')}`,
    '-W',
    '-f',
    // biome-ignore lint/suspicious/noTemplateCurlyInString: dpkg-query fills these in
    '${Package} ${Version}\\n',
  ]);
  const packages: Package[] = stdout
    .trim()
    .split('\n')
    .map((line) => ({ name: line.split(' ')[0]!, version: line.split(' ')[1]! }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  await writeFile(join(folder, 'packages.json'), JSON.stringify(packages));
}

export async function installedPackages(folder: string): Promise<Package[]> {
  return JSON.parse(await readFile(join(folder, 'packages.json'), 'utf8')) as Package[];
}
