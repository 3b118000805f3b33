/** Images that fail on purpose, each in one way that a real one may: for the demo and the tests. Signed and published as any other. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DataPaths } from '../base/paths.ts';
import { buildImage } from '../image/build/build.ts';
import { REPOSITORY } from '../image/build/cache.ts';
import { PROBE, PROBE_COMMAND } from './probe-image.ts';

/** What each first program does before it hands over; systemd keeps a /run that is mounted already. */
const RUN = [
  'busybox mount -t tmpfs -o mode=0755,nosuid,nodev run /root/run',
  'units=/root/run/systemd/system',
  'busybox mkdir -p $units/multi-user.target.wants',
];
const unit = (name: string, command: string, more: readonly string[] = []): string[] => [
  ...[
    `[Unit]`,
    ...more,
    '[Service]',
    'Type=oneshot',
    'StandardOutput=journal+console',
    `ExecStart=${command}`,
  ].map((line, i) => `echo '${line}' ${i === 0 ? '>' : '>>'} $units/${name}`),
  `busybox ln -s ../${name} $units/multi-user.target.wants/${name}`,
];

const FAILURES = {
  /** The kernel loses its first program and panics, before it mounts a root. */
  panic: ["echo 'bad image: this one panics' > /dev/console", 'exit 1'],
  /** PID 1 stands still once everything runs: nothing feeds the watchdog any more. */
  hang: [
    ...RUN,
    'busybox mkdir -p /root/run/systemd/system.conf.d',
    "echo '[Manager]' > /root/run/systemd/system.conf.d/zz.conf",
    "echo 'CrashReboot=no' >> /root/run/systemd/system.conf.d/zz.conf",
    ...unit('hang.service', '/usr/bin/kill -SEGV 1'),
  ],
  /** Boots, connects, and has a service that fails. */
  unhealthy: [...RUN, ...unit('broken.service', '/usr/sbin/nologin')],
  /** Nothing: it tells what root on the node can do (probe-image.ts). */
  probe: [...RUN, ...PROBE, ...unit('probe.service', PROBE_COMMAND, ['After=bootwave-agent.service'])],
} as const satisfies Record<string, readonly string[]>;

export type Failure = keyof typeof FAILURES;

/** Where the lines go into the first program: before it hands over, or before it looks for its root. */
const PLACE = { before: 'exec busybox switch_root', bare: 'for part in root node modules; do' } as const;

/** @param failure null: a good image with another version */
export async function publish(paths: DataPaths, version: string, failure: Failure | null): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'bootwave-bad-image-'));
  try {
    const good = await readFile(join(REPOSITORY, 'image/build/init'), 'utf8');
    // An image that comes to no root needs none: only the kernel and what panics have to be loaded and measured.
    const bare = failure === 'panic';
    const last = good.lastIndexOf(bare ? PLACE.bare : PLACE.before);
    const lines = failure === null ? [] : FAILURES[failure];
    const init = join(folder, 'init');
    await writeFile(
      init,
      `${good.slice(0, last)}${lines.map((line) => `${line}\n`).join('')}${good.slice(last)}`,
    );
    await buildImage({ paths, version, init, bare });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
