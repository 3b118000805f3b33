/** A node of its own on this machine: namespaces for mounts and network, a private cgroup2, the node's filter. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { mustRun, type RunResult, run } from '../../../../../base/run.ts';
import { buildCopy } from '../../../../../image/agent/root/services/copy/build.ts';
import { writeInstance } from '../../../../../image/agent/root/services/instance.ts';
import { processOf } from '../../../../../image/agent/root/services/oci.ts';
import { type Place, placeOf } from '../../../../../image/agent/root/services/place.ts';
import type { Held } from '../../../../../image/agent/root/services/secrets.ts';
import { netUnit } from '../../../../../image/agent/root/services/units.ts';
import { instanceId, instanceUnit } from '../../../../../protocol/agent/units.ts';
import type { Manifest } from '../../../../../protocol/service/manifest.ts';
import { manifestOf } from './any-manifest.ts';
import { type Bundle, scratch } from './bundles.ts';

const ROOTFS = join(import.meta.dirname, '../../../../../image/rootfs/usr/lib/bootwave');
const CRUN = ['crun', '--cgroup-manager=disabled'];

export type Instance = {
  id: string;
  place: Place;
  /** What it wrote. */
  output: string;
  data: string;
};

export async function box(t: ExecutionContext) {
  const folder = await scratch(t);
  // Instances go through it with ids that are nobody's.
  await chmod(folder, 0o711);
  const holder: ChildProcess = spawn('unshare', [
    '--mount',
    '--net',
    '--propagation=private',
    'sleep',
    'infinity',
  ]);
  t.teardown(async () => {
    holder.kill('SIGKILL');
    await once(holder, 'close');
  });
  const within = (...args: string[]) => ['--target', `${holder.pid}`, '--mount', '--net', ...args];
  const exec = (...args: string[]): Promise<RunResult> =>
    run('nsenter', within(...args), { timeout: 60_000 });
  const must = (...args: string[]): Promise<RunResult> =>
    mustRun('nsenter', within(...args), { timeout: 60_000 });
  // Until unshare has become sleep in namespaces of its own.
  while (
    (await run('readlink', [`/proc/${holder.pid}/ns/net`])).stdout ===
    (await run('readlink', ['/proc/self/ns/net'])).stdout
  );
  for (const at of ['/run/netns', '/run/crun']) {
    await mkdir(at, { recursive: true });
    await must('mount', '-t', 'tmpfs', 'x', at);
  }
  await must('mount', '-t', 'cgroup2', 'none', '/sys/fs/cgroup');
  await must('ip', 'link', 'set', 'lo', 'up');
  await must('nft', '-f', join(ROOTFS, 'filter.nft'));
  await must('busybox', 'sh', '-c', 'echo 1 > /proc/sys/net/ipv4/ip_forward');
  /** Processes so far that were started in an instance: several may be at once. */
  let entered = 0;
  const places = {
    run: join(folder, 'run'),
    units: join(folder, 'units'),
    networks: '/run/netns',
    cgroups: '/sys/fs/cgroup',
    shared: join(folder, 'shared'),
    copy: join(folder, 'bootwave-copy'),
  };
  await buildCopy(places.copy);
  await mkdir(places.units);
  /** The lines of a unit, as systemd runs them. */
  const unit = async (name: string, kind: string) => {
    const { readFile } = await import('node:fs/promises');
    const text = await readFile(join(places.units, name), 'utf8');
    for (const [, optional, line] of text.matchAll(new RegExp(`^${kind}=(-?)(.*)$`, 'gm'))) {
      const words = line!.replace('/usr/lib/bootwave/', `${ROOTFS}/`).split(' ');
      const output = kind === 'ExecStart' && words.includes('run') ? join(folder, `${name}.out`) : null;
      const asked =
        output === null
          ? words
          : ['busybox', 'sh', '-c', `exec "$@" >${output} 2>&1 </dev/null`, '-', ...words];
      const { code, stderr } = await exec(...asked);
      if (code !== 0 && optional === '')
        throw new Error(`${line}: ${stderr}${output === null ? '' : await readFile(output, 'utf8')}`);
    }
  };
  return {
    folder,
    places,
    within,
    /** Its files, seen from outside. */
    root: `/proc/${holder.pid}/root`,
    exec,
    must,
    /** Runs until the test's end. */
    beside(...args: string[]): void {
      const one = spawn('nsenter', within(...args), { stdio: 'ignore' });
      t.teardown(() => one.kill('SIGKILL'));
    },
    /** A wire, and somebody at its other end: the namespace `outside`, 10.93.0.2; here it is 10.93.0.1. */
    async wire(): Promise<void> {
      await must('ip', 'netns', 'add', 'outside');
      await must('ip', 'link', 'add', 'wire', 'type', 'veth', 'peer', 'name', 'wire', 'netns', 'outside');
      for (const [space, address] of [
        [[], '10.93.0.1/24'],
        [['-n', 'outside'], '10.93.0.2/24'],
      ] as const) {
        await must('ip', ...space, 'address', 'add', address, 'dev', 'wire');
        await must('ip', ...space, 'link', 'set', 'wire', 'up');
        await must('ip', ...space, 'link', 'set', 'lo', 'up');
      }
    },
    /** Begins an instance as PID 1 would, without its limits. */
    async start(
      name: string,
      slot: number,
      bundle: Bundle,
      manifest: Manifest,
      secrets: Held | null = null,
    ): Promise<Instance> {
      const place = placeOf(slot);
      const data = join(folder, 'states', instanceId(name), 'data');
      await mkdir(data, { recursive: true });
      const { uid, gid } = manifest.user;
      await mustRun('chown', ['-R', `${place.firstId + uid}:${place.firstId + gid}`, data]);
      await chmod(data, 0o700);
      const id = instanceId(name);
      await writeInstance(
        {
          ...{
            bundle: { ...bundle, manifest },
            file: bundle.file,
            place,
            state: data,
            secrets,
            restraint: null,
          },
          service: { name, version: '1', sha256: bundle.sha256, size: bundle.size },
        },
        { restarts: 0, revivals: 0, begun: 0 },
        places,
      );
      const root = join(places.run, 'mounts', bundle.sha256);
      if ((await exec('mountpoint', '-q', root)).code !== 0)
        await must('mount', '-t', 'squashfs', '-o', 'loop,ro,nosuid,nodev', bundle.file, root);
      await unit(netUnit(id), 'ExecStart');
      await unit(instanceUnit(id), 'ExecStart');
      t.teardown(() => exec(...CRUN, 'delete', '--force', id));
      return { id, place, data, output: join(folder, `${instanceUnit(id)}.out`) };
    },
    async stop(id: string) {
      await unit(instanceUnit(id), 'ExecStopPost');
      await unit(netUnit(id), 'ExecStopPost');
    },
    /** The health check's way in. */
    async inside(
      id: string,
      command: readonly string[],
      manifest: Manifest = manifestOf(),
      through: readonly string[] = [],
    ): Promise<RunResult> {
      entered += 1;
      const file = join(folder, `process-${entered}.json`);
      await writeFile(file, JSON.stringify(processOf(manifest, command)));
      return exec(...through, ...CRUN, 'exec', '--process', file, id);
    },
  };
}
