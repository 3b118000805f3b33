/** Bundles as a publisher makes them, and metadata that releases them: what stands on a boot server. */
import { createHash } from 'node:crypto';
import { chmod, cp, mkdir, mkdtemp, readFile, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TargetFile } from '@tufjs/models';
import type { ExecutionContext } from 'ava';
import { mustRun } from '../../../../../base/run.ts';
import { treeBytes } from '../../../../../formats/verity.ts';
import { next } from '../../../../../image/publish/next.ts';
import { keyLayout } from '../../../../../keys/layout.ts';
import { initReleaseKeys } from '../../../../../keys/release/init.ts';
import { KeyRing } from '../../../../../keys/release/ring.ts';
import { readRoot } from '../../../../../keys/release/root.ts';
import type { OrderedService } from '../../../../../protocol/order.ts';
import { VERITY } from '../../../../../protocol/service/bundle.ts';
import type { Manifest } from '../../../../../protocol/service/manifest.ts';
import { bundleTarget } from '../../../../../protocol/service/name.ts';

export async function scratch(t: ExecutionContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'bootwave-services-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

export type Bundle = { file: string; sha256: string; size: number; rootHash: string; dataBytes: number };

/** Reserved names of mount points that every bundle has. */
const MOUNT_POINTS = ['proc', 'dev', 'sys', 'tmp', 'var/tmp', 'run', 'etc', 'state', 'bin'];

/** A root with busybox and the mount points, and more programs. @param programs name -> file */
export async function makeBundle(
  folder: string,
  programs: Readonly<Record<string, string>> = {},
): Promise<Bundle> {
  const tree = await mkdtemp(join(folder, 'tree-'));
  await chmod(tree, 0o755);
  for (const name of MOUNT_POINTS) await mkdir(join(tree, name), { recursive: true });
  await cp('/usr/bin/busybox', join(tree, 'bin/busybox'));
  await symlink('busybox', join(tree, 'bin/sh'));
  for (const [name, source] of Object.entries(programs)) await cp(source, join(tree, 'bin', name));
  const file = `${tree}.bundle`;
  await mustRun('mksquashfs', [
    tree,
    file,
    '-all-root',
    '-noappend',
    '-quiet',
    '-no-progress',
    '-no-xattrs',
    '-noD',
    '-noI',
    '-noF',
  ]);
  return seal(file);
}

/** Fills a file up to whole blocks, and appends the tree over it. */
export async function seal(file: string): Promise<Bundle> {
  const data = await readFile(file);
  const dataBytes = Math.ceil(data.length / VERITY.block) * VERITY.block;
  await truncate(file, dataBytes);
  const { stdout } = await mustRun('veritysetup', [
    ...['format', '--no-superblock', '--format=1', '--hash=sha256', `--salt=${VERITY.salt}`],
    ...[`--data-block-size=${VERITY.block}`, `--hash-block-size=${VERITY.block}`],
    ...[`--data-blocks=${dataBytes / VERITY.block}`, `--hash-offset=${dataBytes}`, file, file],
  ]);
  await truncate(file, dataBytes + treeBytes(dataBytes));
  const whole = await readFile(file);
  return {
    ...{ file, dataBytes, size: whole.length },
    sha256: createHash('sha256').update(whole).digest('hex'),
    rootHash: /Root hash:\s+(\w+)/.exec(stdout)![1]!,
  };
}

export type Released = { service: OrderedService; bundle: Bundle; manifest: Manifest };

export const released = (name: string, version: string, bundle: Bundle, manifest: Manifest): Released => ({
  service: { name, version, sha256: bundle.sha256, size: bundle.size },
  bundle,
  manifest,
});

/** A target as `service publish` signs it. */
export function targetOf({ service, bundle, manifest }: Released, change: object = {}): TargetFile {
  const { name, version, sha256, size } = service;
  const { rootHash, dataBytes } = bundle;
  return new TargetFile({
    path: bundleTarget(service),
    length: size,
    hashes: { sha256 },
    unrecognizedFields: {
      custom: { bootwave: { format: 1, service: name, version, rootHash, dataBytes, manifest, ...change } },
    },
  });
}

/** A fleet's release keys; what it signs lies in a folder as an agent keeps it (MetadataMemory). */
export async function releases(folder: string) {
  const keys = join(folder, 'keys');
  await initReleaseKeys(keys);
  const root = await readFile(keyLayout(keys).release.root);
  const ring = await KeyRing.open(keys);
  return {
    root,
    async publish(into: string, targets: readonly TargetFile[], now = Date.now()): Promise<void> {
      await mkdir(into, { recursive: true });
      const files = next([readRoot(root)], null, ring, { targets }, now)!;
      for (const [name, bytes] of files) {
        const kept = name.endsWith('.root.json') ? name : name.replace(/^\d+\./, '');
        await writeFile(join(into, kept), bytes);
      }
    },
  };
}
