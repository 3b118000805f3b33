/** The fleet's own services: their manifests, and one of them built from Debian's packages and run. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { mustRun, run } from '../../../base/run.ts';
import { isVersion } from '../../../formats/version.ts';
import { BLOCKS } from '../../../image/services/blocks.ts';
import { buildBlock, serviceVersion } from '../../../image/services/build.ts';
import { merge, readWritten } from '../../../image/services/merge.ts';
import type { Manifest } from '../../../protocol/service/manifest.ts';
import { folder } from './oci.ts';

const FOLDER = join(import.meta.dirname, '../../../image/services');

for (const [name, { keep, own }] of Object.entries(BLOCKS))
  test(`the manifest of ${name} is one, runs what is kept, not as root, and says when it is well`, async (t) => {
    const manifest = merge(readWritten(await readFile(join(FOLDER, name, 'service.yaml'), 'utf8')), {}, null);
    // Node comes with Bootwave, not from Debian.
    t.true([...keep, ...(own === undefined ? [] : ['usr/bin/node'])].includes(manifest.command[0]!.slice(1)));
    t.not(manifest.user.uid, 0);
    t.not(manifest.health, null);
    t.true(manifest.ports.length > 0);
  });

test('versions of Debian become versions of services', (t) => {
  for (const [debian, ours] of [
    ['1.5.0-1+b6', '1.5.0-1.b6'],
    ['2:4.3-2+deb12u3', '4.3-2.deb12u3'],
    ['1.0~RC1', '1.0~rc1'],
  ] as const) {
    t.is(serviceVersion(debian), ours);
    t.true(isVersion(ours));
  }
});

test('what nobody has is no service of the fleet', async (t) => {
  const out = join(await folder(t), 'bundle');
  for (const name of ['nginx', '__proto__', '../chrony'])
    await t.throwsAsync(buildBlock(name, out), { code: 'SERVICE_BLOCK' });
});

/** As a node contains it, as far as this machine can: its own users and namespaces, no rights, a root that nobody writes. */
function configOf({ command, env, user, workdir }: Manifest, root: string): object {
  const mount = (destination: string, type: string, options: string[]) => ({
    destination,
    type,
    source: type,
    options,
  });
  const ids = [{ containerID: 0, hostID: 200_000, size: 65_536 }];
  const none = { bounding: [], effective: [], permitted: [], inheritable: [], ambient: [] };
  return {
    ociVersion: '1.0.0',
    process: {
      ...{ terminal: false, user, args: command, cwd: workdir, capabilities: none, noNewPrivileges: true },
      env: Object.entries(env).map(([key, value]) => `${key}=${value}`),
    },
    root: { path: root, readonly: true },
    mounts: [
      mount('/proc', 'proc', ['nosuid', 'noexec', 'nodev']),
      mount('/dev', 'tmpfs', ['nosuid', 'noexec', 'mode=755', 'size=64k']),
      mount('/tmp', 'tmpfs', ['nosuid', 'nodev', 'mode=1777']),
      mount('/run', 'tmpfs', ['nosuid', 'nodev', 'mode=1777']),
    ],
    linux: {
      namespaces: ['pid', 'network', 'ipc', 'uts', 'mount', 'user', 'cgroup'].map((type) => ({ type })),
      ...{ uidMappings: ids, gidMappings: ids },
    },
  };
}

/** In a mount namespace of its own, which takes all mounts with it. Every way out ends the instance. */
const RUN = `
set -e
cd "$1"
mkdir root
mount -o loop,ro,nosuid,nodev -t squashfs bundle root
mount -t cgroup2 none /sys/fs/cgroup
trap 'crun delete -f "$2" 2>/dev/null' EXIT
crun --cgroup-manager=disabled run --detach --pid-file pid --bundle . "$2" >out 2>&1 </dev/null
ip="nsenter -t $(cat pid) -n"
$ip ip link set lo up
$ip curl --silent --show-error --retry 100 --retry-delay 1 --retry-all-errors http://127.0.0.1:9100/metrics
`;

test('node-exporter, built from the archive, runs contained and tells of this machine', async (t) => {
  t.timeout(10 * 60_000);
  const work = await folder(t);
  // The user of the instance goes through it.
  await mustRun('chmod', ['755', work]);
  const bundle = join(work, 'bundle');
  const built = await buildBlock('node-exporter', bundle);
  t.is(built.custom.service, 'fleet/node-exporter');
  t.true(built.size < 8e6, `${built.size} bytes`);
  await writeFile(
    join(work, 'config.json'),
    JSON.stringify(configOf(built.custom.manifest, join(work, 'root'))),
  );
  const { code, stdout, stderr } = await run('unshare', [
    '--mount',
    'bash',
    '-c',
    RUN,
    'bash',
    work,
    `bootwave-${process.pid}`,
  ]);
  t.is(code, 0, `${stderr}${await readFile(join(work, 'out'), 'utf8').catch(() => '')}`);
  t.regex(stdout, /^node_memory_MemTotal_bytes \d/m);
  t.regex(stdout, /^node_load1 /m);
});
