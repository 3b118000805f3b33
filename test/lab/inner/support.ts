/** The service `bootwave` as it is built, but packed without compression, and an instance of it with a neighbour. */
import { mkdir, mkdtemp, readFile, rm, rmdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ExecutionContext } from 'ava';
import { exists } from '../../../base/files.ts';
import { mustRun, type RunResult } from '../../../base/run.ts';
import { blockRoot } from '../../../image/services/build.ts';
import { addMountPoints } from '../../../image/services/root.ts';
import type { Manifest } from '../../../protocol/service/manifest.ts';
import { manifestOf } from '../../image/agent/root/services/any-manifest.ts';
import { box } from '../../image/agent/root/services/box.ts';
import { type Bundle, makeBundle, seal } from '../../image/agent/root/services/bundles.ts';

const BOOTWAVE = join(import.meta.dirname, '../../../bin/bootwave');
const PATIENCE = 240_000;

export type Built = { bundle: Bundle; manifest: Manifest; version: string };

export async function builtIn(folder: string): Promise<Built> {
  const work = await mkdtemp(join(folder, 'work-'));
  const { root, manifest, service } = await blockRoot('bootwave', work);
  if (await exists(join(root, 'usr/lib/bootwave/node_modules/ava')))
    throw new Error('what only tests use is in it');
  await addMountPoints(root, manifest);
  const file = join(folder, 'bundle');
  const plain = ['-noappend', '-quiet', '-no-progress', '-no-xattrs', '-noD', '-noI', '-noF'];
  await mustRun('mksquashfs', [root, file, ...plain]);
  await rm(work, { recursive: true });
  return { bundle: await seal(file), manifest, version: service.version };
}

export async function until(holds: () => Promise<boolean>, what: string): Promise<void> {
  for (const end = performance.now() + PATIENCE; !(await holds()); await sleep(500))
    if (performance.now() > end) throw new Error(`it did not come to pass: ${what}`);
}

/** On a node with a wire, beside a neighbour that keeps something. @param disk bytes that the fleet may keep */
export async function innerFleet(t: ExecutionContext, { bundle, manifest }: Built, disk: number) {
  const node = await box(t);
  await node.wire();
  const shell = '/bin/sh';
  const count = 'while :; do date +%s >>/state/log && echo ok >/tmp/index.html; sleep 1; done';
  const neighbour = await node.start(
    'fleet/neighbour',
    4,
    await makeBundle(node.folder),
    manifestOf({
      command: [shell, '-c', `(${count}) & exec httpd -f -p 80 -h /tmp`],
      env: { PATH: '/bin' },
      ports: [{ name: 'http', port: 80 }],
      state: { path: '/state', bytes: 2 ** 20 },
    }),
  );
  const name = 'fleet/bootwave';
  const id = 'fleet.bootwave';
  const data = join(node.folder, 'states', id, 'data');
  await mkdir(data, { recursive: true });
  // As large as its quota: box has no disk of its own.
  await node.must('mount', '-t', 'tmpfs', '-o', `size=${disk}`, 'x', data);
  const limits = await limited(t, manifest);
  const controller = join(node.folder, 'pids');
  await mkdir(controller);
  await node.must('mount', '-t', 'cgroup', '-o', 'pids', 'x', controller);
  const procs = join(controller, basename(limits.group), 'cgroup.procs');
  const within = ['busybox', 'sh', '-c', `echo $$ >${procs}; exec "$@"`, '-'];
  const start = async () => {
    const one = await node.start(name, 3, bundle, manifest);
    const { uid, gid } = manifest.user;
    await node.must('chown', `${one.place.firstId + uid}:${one.place.firstId + gid}`, data);
    await limits.hold((await readFile(join(node.folder, 'run/instances', id, 'pid'), 'utf8')).trim());
    return one;
  };
  const one = await start();
  t.teardown(async () => {
    if (!t.passed) t.log(await readFile(one.output, 'utf8'));
  });
  const outside = (...args: string[]): Promise<RunResult> =>
    node.exec('ip', 'netns', 'exec', 'outside', ...args);
  return {
    ...{ node, one, data, limits, outside },
    /** As the node asks. */
    async health(): Promise<string> {
      const url = `http://${one.place.address}:7445/health`;
      const { stdout } = await node.exec('curl', '-s', '-m', '5', '-w', ' %{http_code}', url);
      return stdout;
    },
    /** Its process group begins again, as systemd would begin it. */
    async again(): Promise<void> {
      await node.stop(id);
      await start();
    },
    isOver: async () => {
      const { stdout } = await node.exec('crun', '--cgroup-manager=disabled', 'state', id);
      return !stdout.includes('"running"');
    },
    /** A program beside those of the fleet, within its limits. */
    script: (text: string) => node.inside(id, ['/usr/bin/node', '-e', text], manifest, within),
    /** A command on a machine elsewhere, by whoever has claimed it. */
    bootwave(cwd: string, line: string): Promise<RunResult> {
      const env = [
        'BOOTWAVE_REDIS_URL=',
        'BOOTWAVE_SERVER=https://10.93.0.1:7444',
        'BOOTWAVE_OPERATOR=inner.pem',
      ];
      const command = `cd ${cwd} && ${line.replace(/^bootwave/, BOOTWAVE)}`;
      return outside('env', ...env, 'bash', '-c', command);
    },
    async neighbourIsWell(): Promise<boolean> {
      const before = (await readFile(join(neighbour.data, 'log'), 'utf8')).length;
      await until(
        async () => (await readFile(join(neighbour.data, 'log'), 'utf8')).length > before,
        'the neighbour writes',
      );
      return (await outside('curl', '-s', '-m', '20', 'http://10.93.0.1/')).stdout === 'ok\n';
    },
  };
}

/** The limits of its manifest on tasks, by this machine's own controller. */
async function limited(t: ExecutionContext, { limits }: Manifest) {
  const group = await mkdtemp('/sys/fs/cgroup/pids/bootwave-inner-');
  t.teardown(async () => {
    for (let i = 0; i < 100; i += 1)
      if (
        await rmdir(group).then(
          () => true,
          () => false,
        )
      )
        return;
      else await sleep(100);
  });
  await writeFile(join(group, 'pids.max'), `${limits.tasks}`);
  return {
    group,
    hold: (pid: string) => writeFile(join(group, 'cgroup.procs'), pid),
    current: async () => Number(await readFile(join(group, 'pids.current'), 'utf8')),
    events: async () => Number(/max (\d+)/.exec(await readFile(join(group, 'pids.events'), 'utf8'))?.[1]),
  };
}

export const scratchFolder = () => mkdtemp(join(tmpdir(), 'bootwave-inner-'));
