/** The files of a bundle after they were unpacked: what is in them all the same, and what is added. */
import { constants as fs } from 'node:fs';
import { chmod, lstat, mkdir, open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Manifest } from '../../protocol/service/manifest.ts';
import { refused } from './failure.ts';
import type { OciLimits } from './limits.ts';

export type Cleaned = { entries: number; stripped: string[] };

/** Who runs them has no more rights by them, on a node that mounts without setuid; most images have a few. */
const SET_ID = 0o6000;

/**
 * Looks at every file: folders, files and links only. Takes setuid and setgid off; the bundle keeps no extended
 * attributes, so no file capabilities either.
 * @throws BootwaveError `SERVICE_LAYER`, `SERVICE_TOO_LARGE`
 */
export async function clean(root: string, limits: Pick<OciLimits, 'entries'>): Promise<Cleaned> {
  const cleaned: Cleaned = { entries: 0, stripped: [] };
  const waiting = [''];
  for (let folder = waiting.pop(); folder !== undefined; folder = waiting.pop()) {
    const entries = await readdir(join(root, folder), { withFileTypes: true });
    cleaned.entries += entries.length;
    if (cleaned.entries > limits.entries)
      throw refused('SERVICE_TOO_LARGE', `more than ${limits.entries} files are in it`);
    for (const entry of entries) {
      const path = `${folder}/${entry.name}`;
      if (entry.isSymbolicLink()) continue;
      if (entry.isDirectory()) waiting.push(path);
      else if (!entry.isFile())
        throw refused('SERVICE_LAYER', `${path} is neither a file, a folder nor a link`);
      const { mode } = await lstat(join(root, path));
      if ((mode & SET_ID) === 0) continue;
      await chmod(join(root, path), mode & 0o1777);
      cleaned.stripped.push(path);
    }
  }
  cleaned.stripped.sort();
  return cleaned;
}

/** The node mounts over these, and a root that is read-only has to have them. Sticky where everybody writes. */
const ALWAYS: Readonly<Record<string, number>> = {
  '/proc': 0o755,
  '/dev': 0o755,
  '/sys': 0o755,
  '/run': 0o755,
  '/etc': 0o755,
  '/tmp': 0o1777,
  '/var/tmp': 0o1777,
};

/** Makes what is missing. @throws BootwaveError `SERVICE_MOUNT_POINT` where something else is in the way */
export async function addMountPoints(
  root: string,
  { state, tmpfs, mounts = [] }: Pick<Manifest, 'state' | 'tmpfs' | 'mounts'>,
): Promise<void> {
  for (const [path, mode] of Object.entries(ALWAYS))
    await mountPoint(root, path, mode, 'a folder that every node mounts');
  if (state !== null) await mountPoint(root, state.path, 0o755, 'state.path');
  for (const [i, { path }] of tmpfs.entries()) await mountPoint(root, path, 0o755, `tmpfs.${i}.path`);
  for (const [i, { path }] of mounts.entries()) await mountPoint(root, path, 0o755, `mounts.${i}.path`);
}

async function mountPoint(root: string, path: string, mode: number, field: string): Promise<void> {
  let at = '';
  for (const part of path.split('/').slice(1)) {
    at += `/${part}`;
    const there = await lstat(join(root, at)).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return null;
      throw error;
    });
    if (there === null) {
      await mkdir(join(root, at));
      await chmod(join(root, at), at === path ? mode : 0o755);
    } else if (!there.isDirectory())
      throw refused(
        'SERVICE_MOUNT_POINT',
        `${field}: ${at} is a ${there.isSymbolicLink() ? 'link' : 'file'} in the image, and ${path} has to be a folder`,
      );
  }
}

/** Bytes of a list of accounts that are read. */
const ACCOUNTS = 1 << 20;

/**
 * Ids of the user that an image names: `name`, `uid`, `name:group`, `uid:gid`.
 * @throws BootwaveError `SERVICE_MANIFEST`
 */
export async function userIn(root: string, user: string): Promise<{ uid: number; gid: number }> {
  const [name = '', group, ...rest] = user.split(':');
  const unknown = (what: string) =>
    refused(
      'SERVICE_MANIFEST',
      `user: the image wants to run as ${JSON.stringify(user.slice(0, 100))}, and ${what}`,
    );
  if (rest.length > 0) throw unknown('that is no user');
  const passwd = await linesOf(join(root, 'etc'), 'passwd');
  const numeric = /^\d+$/.test(name);
  const found = passwd.find((fields) => (numeric ? fields[2] === name : fields[0] === name));
  if (!numeric && found === undefined) throw unknown('its /etc/passwd has no such user');
  const uid = Number(numeric ? name : found?.[2]);
  if (group === undefined || group === '') return { uid, gid: Number(found?.[3] ?? 0) };
  if (/^\d+$/.test(group)) return { uid, gid: Number(group) };
  const gid = (await linesOf(join(root, 'etc'), 'group')).find((fields) => fields[0] === group)?.[2];
  if (gid === undefined) throw unknown('its /etc/group has no such group');
  return { uid, gid: Number(gid) };
}

/** Never through a link: it would be one of this machine's. */
async function linesOf(folder: string, name: string): Promise<string[][]> {
  const isFolder = await lstat(folder).then(
    (found) => found.isDirectory(),
    () => false,
  );
  if (!isFolder) return [];
  const handle = await open(join(folder, name), fs.O_RDONLY | fs.O_NOFOLLOW | fs.O_NONBLOCK).catch(
    () => null,
  );
  if (handle === null) return [];
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(ACCOUNTS), 0, ACCOUNTS, 0);
    return buffer
      .toString('utf8', 0, bytesRead)
      .split('\n')
      .map((line) => line.split(':'));
  } finally {
    await handle.close();
  }
}
