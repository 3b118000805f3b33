/** An installation without the minutes of an image build: real keys, and Debian's iPXE signed as image and loader. */
import { createHash } from 'node:crypto';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { type DataPaths, dataPaths } from '../../../base/paths.ts';
import { mustRun } from '../../../base/run.ts';
import { LOADERS } from '../../../bootserver/boot/urls.ts';
import { keyLayout } from '../../../keys/layout.ts';
import { simManifest } from '../../../lab/sim/images.ts';
import { keysIn } from '../../support/keys.ts';

/** Removed by `removeInstallation`. */
export async function makeInstallation(): Promise<DataPaths> {
  const paths = dataPaths(await mkdtemp(join(tmpdir(), 'bw-')));
  await keysIn(paths.keys);
  await addImage(paths, '1.0.0');
  return paths;
}

/** What `bootwave image build` leaves: a published version and the boot loaders. */
export async function addImage(paths: DataPaths, version: string): Promise<void> {
  for (const folder of [paths.images, paths.loaders]) await mkdir(folder, { recursive: true });
  await signed(paths, '/usr/lib/ipxe/snponly.efi', join(paths.loaders, LOADERS.uefi));
  await cp('/usr/lib/ipxe/undionly.kpxe', join(paths.loaders, LOADERS.bios));
  await publish(paths, version);
}

export async function removeInstallation(paths: DataPaths): Promise<void> {
  await rm(paths.root, { recursive: true, force: true });
}

/** A copy that the test may spoil. */
export async function copyOf(t: ExecutionContext, paths: DataPaths): Promise<DataPaths> {
  const root = await mkdtemp(join(tmpdir(), 'bw-'));
  t.teardown(() => rm(root, { recursive: true, force: true }));
  await mustRun('cp', ['-a', `${paths.root}/.`, root]);
  return dataPaths(root);
}

export async function publish(paths: DataPaths, version: string): Promise<void> {
  const file = join(paths.images, `bootwave_${version}.efi`);
  await signed(paths, '/usr/lib/ipxe/snponly.efi', file);
  const bytes = await readFile(file);
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  const manifest = { ...simManifest(version), size: bytes.length, sha256 };
  await writeFile(join(paths.images, `bootwave_${version}.json`), JSON.stringify(manifest));
}

async function signed(paths: DataPaths, from: string, to: string): Promise<void> {
  const { key, certificate } = keyLayout(paths.keys).secureBoot.variables.db;
  await mustRun('sbsign', ['--key', key, '--cert', certificate, '--output', to, from]);
}
