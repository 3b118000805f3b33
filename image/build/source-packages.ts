import { join } from 'node:path';
import { mustRun } from '../../base/run.ts';
import type { Package } from './apt.ts';

const FORMAT = `\${Package} \${Version} \${source:Package} \${source:Version}\n`;

/**
 * The Debian source packages of an image, sorted.
 * @param root with dpkg's database
 * @param kernel file of the kernel's package, which is not installed there
 */
export async function sourcePackages(root: string, kernel: string): Promise<Package[]> {
  const installed = await mustRun('dpkg-query', [
    `--admindir=${join(root, 'var/lib/dpkg')}`,
    '-W',
    '-f',
    FORMAT,
  ]);
  const shown = await mustRun('dpkg-deb', ['--show', `--showformat=${FORMAT}`, kernel]);
  return sourcesIn(installed.stdout + shown.stdout);
}

/** @param lines each with name, version, source name and source version of one binary package */
export function sourcesIn(lines: string): Package[] {
  const sources = new Map<string, Package>();
  for (const line of lines.trim().split('\n')) {
    const [, version, name, source] = line.split(' ');
    if (version === undefined || name === undefined || source === undefined) continue;
    // Debian signs some packages by building them again from another source; what is vulnerable is filed under the first one.
    const signed = /^(.+)-signed(?:-amd64)?$/.exec(name)?.[1];
    const one = signed === undefined ? { name, version: source } : { name: signed, version };
    sources.set(`${one.name} ${one.version}`, one);
  }
  return [...sources.values()].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}
