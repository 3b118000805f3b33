import { chmod, copyFile, lstat, mkdir, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { mustRun } from '../../base/run.ts';
import { RESCUE_COMMAND, RESCUE_SOCKET } from '../../protocol/agent/rescue.ts';
import { buildRelay } from '../agent/member/link/relay/build.ts';
import { buildCopy } from '../agent/root/services/copy/build.ts';
import { buildQuota } from '../agent/root/services/quota/build.ts';
import { LINKS } from './links.ts';
import { checkUnits, lockAccounts, trim } from './trim.ts';

export type RootInputs = {
  /** Folder of the untouched Debian root. */
  base: string;
  /** image/rootfs. */
  statics: string;
  /** The Node that is mounted beside the root. */
  node: string;
  /** Name below /usr/lib/bootwave -> content. */
  bundles: ReadonlyMap<string, Uint8Array>;
};

/** Folders that something is mounted on; the root itself is read-only. */
const MOUNT_POINTS = [
  ...['dev', 'proc', 'sys', 'run', 'tmp', 'var', 'root', 'efi'],
  ...['usr/lib/modules', 'usr/lib/bootwave/fleet', 'usr/lib/bootwave/runtime'],
];

/** Makes the tree that becomes root.squashfs in `root`, which must not exist. */
export async function makeSystemRoot(root: string, inputs: RootInputs, signal?: AbortSignal): Promise<void> {
  const options = signal === undefined ? {} : { signal };
  await mustRun('cp', ['-a', '--reflink=auto', inputs.base, root], options);
  // Links that package scripts may have made where a file of ours goes.
  for (const path of ['etc/resolv.conf', 'etc/machine-id', 'etc/systemd/system'])
    await rm(join(root, path), { recursive: true, force: true });
  await copyStatics(inputs.statics, root);
  await makeLinks(root);
  await mustRun('chroot', [root, 'systemd-sysusers'], options);
  await trim(root, [inputs.node]);
  await lockAccounts(root);

  for (const path of MOUNT_POINTS) {
    await rm(join(root, path), { recursive: true, force: true });
    await mkdir(join(root, path), { recursive: true });
    await chmod(join(root, path), path === 'root' ? 0o700 : 0o755);
  }
  const ours = join(root, 'usr/lib/bootwave');
  await symlink('runtime/node', join(ours, 'node'));
  for (const [name, content] of inputs.bundles) await writeFile(join(ours, name), content);
  await buildRelay(join(ours, 'link-relay'));
  await buildRelay(join(ours, 'rescue-relay'), RESCUE_SOCKET, RESCUE_COMMAND);
  await buildQuota(join(ours, 'bootwave-quota'));
  await buildCopy(join(ours, 'bootwave-copy'));
  // /init mounts the real ones over these.
  await rm(join(root, 'etc/os-release'), { force: true });
  await symlink('../usr/lib/os-release', join(root, 'etc/os-release'));
  await writeFile(join(root, 'usr/lib/os-release'), '');
  await writeFile(join(root, 'usr/lib/clock-epoch'), '');
  await checkUnits(root, new Set(['/usr/lib/bootwave/node']));
}

async function makeLinks(root: string): Promise<void> {
  for (const [path, target] of Object.entries(LINKS)) {
    const link = join(root, path);
    const folder = dirname(link);
    if ((await mkdir(folder, { recursive: true })) !== undefined) await chmod(folder, 0o755);
    await rm(link, { force: true });
    await symlink(target, link);
  }
}

/** Git keeps only the executable bit, and a umask may differ: permissions are set, never inherited. */
async function copyStatics(from: string, to: string): Promise<void> {
  await mkdir(to, { recursive: true });
  for (const entry of await readdir(from, { withFileTypes: true })) {
    const source = join(from, entry.name);
    const target = join(to, entry.name);
    if (entry.isDirectory()) {
      const there = await lstat(target).catch(() => undefined);
      await copyStatics(source, target);
      if (there === undefined) await chmod(target, 0o755);
    } else {
      await rm(target, { force: true });
      await copyFile(source, target);
      await chmod(target, ((await lstat(source)).mode & 0o100) !== 0 ? 0o755 : 0o644);
    }
  }
}
