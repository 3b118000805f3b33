/** What crun is told of an instance (OCI runtime specification 1.0.2): a pure function of its manifest and its place. */
import { COPY_PROGRAM } from '../../../../protocol/service/copy.ts';
import type { Manifest } from '../../../../protocol/service/manifest.ts';
import { SECRETS_FOLDER } from '../../../../protocol/service/secrets.ts';
import { type Place, RANGE } from './place.ts';
import { seccompOf } from './seccomp.ts';

export type InstanceFolders = {
  /** Where the bundle is mounted. */
  root: string;
  /** The folder that it keeps; null when its manifest asks for none, or nothing can be kept here. */
  state: string | null;
  /** What the node shares with neighbours; for mounts of the kind `images`. */
  shared: string;
  /** Its network namespace. */
  network: string;
  /** The folder with its secrets; null: it has none. */
  secrets: string | null;
  /** The program of copy.c; null: it is of no slice. */
  copy: string | null;
};

/** Bytes of /tmp and of /run, each; in memory, and counted against the instance's. */
const SCRATCH = 16 * 2 ** 20;
const PATH = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

export function ociConfig(manifest: Manifest, place: Place, folders: InstanceFolders, hostname: string) {
  const { state, tmpfs, mounts = [] } = manifest;
  const ids = [{ containerID: 0, hostID: place.firstId, size: RANGE }];
  const scratch = new Map([
    ['/tmp', SCRATCH],
    ['/run', SCRATCH],
    ...tmpfs.map(({ path, bytes }): [string, number] => [path, bytes]),
  ]);
  // On a node without a disk the state is a folder in memory as well.
  if (state !== null && folders.state === null) scratch.set(state.path, state.bytes);
  if (state !== null && folders.state !== null) scratch.delete(state.path);
  for (const { path } of mounts) scratch.delete(path);
  return {
    ociVersion: '1.0.2',
    process: processOf(manifest, manifest.command),

    root: { path: folders.root, readonly: true },
    // Linux has at most 64 characters for it.
    hostname: hostname.slice(0, 64),
    mounts: [
      mount('/proc', 'proc', ['nosuid', 'noexec', 'nodev']),
      mount('/dev', 'tmpfs', ['nosuid', 'noexec', 'mode=755', 'size=64k']),
      mount('/dev/shm', 'tmpfs', ['nosuid', 'noexec', 'nodev', 'mode=1777', `size=${SCRATCH}`]),
      ...[...scratch].map(([path, bytes]) =>
        mount(path, 'tmpfs', ['nosuid', 'nodev', 'noexec', 'mode=1777', `size=${bytes}`]),
      ),
      ...(state === null || folders.state === null ? [] : [bind(state.path, folders.state, 'rw')]),
      ...mounts.map(({ path }) => bind(path, folders.shared, 'ro')),
      // Last: nothing of a manifest is mounted over them.
      ...(folders.secrets === null ? [] : [bind(SECRETS_FOLDER, folders.secrets, 'ro')]),
      ...(folders.copy === null ? [] : [program(COPY_PROGRAM, folders.copy)]),
    ],
    linux: {
      namespaces: [
        ...['pid', 'ipc', 'uts', 'mount', 'user', 'cgroup'].map((type) => ({ type })),
        { type: 'network', path: folders.network },
      ],
      uidMappings: ids,
      gidMappings: ids,
      rootfsPropagation: 'private',
      maskedPaths: [
        ...['kcore', 'keys', 'latency_stats', 'timer_list', 'timer_stats', 'sched_debug', 'scsi', 'acpi'].map(
          (name) => `/proc/${name}`,
        ),
        '/sys/firmware',
      ],
      readonlyPaths: ['bus', 'fs', 'irq', 'sys', 'sysrq-trigger'].map((name) => `/proc/${name}`),
      seccomp: seccompOf(manifest.architecture),
    },
  };
}

/** The `process` of the specification: the instance's own, or one that runs inside for its health. */
export function processOf({ env, workdir, user }: Manifest, command: readonly string[]) {
  return {
    terminal: false,
    user: { uid: user.uid, gid: user.gid },
    args: [...command],
    env: [...(Object.hasOwn(env, 'PATH') ? [] : [PATH]), ...Object.entries(env).map(([k, v]) => `${k}=${v}`)],
    cwd: workdir,
    capabilities: { bounding: [], effective: [], permitted: [], inheritable: [], ambient: [] },
    noNewPrivileges: true,
    oomScoreAdj: 500,
  };
}

const mount = (destination: string, type: string, options: string[]) => ({
  destination,
  type,
  source: type,
  options,
});

const bind = (destination: string, source: string, access: 'ro' | 'rw') => ({
  ...{ destination, type: 'bind', source },
  options: ['bind', access, 'nosuid', 'nodev', 'noexec', 'rprivate'],
});

const program = (destination: string, source: string) => ({
  ...{ destination, type: 'bind', source },
  options: ['bind', 'ro', 'nosuid', 'nodev', 'rprivate'],
});
