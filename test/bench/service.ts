/** Services: publishing against skopeo with mksquashfs, start to the first answer and memory of one against podman. */
// On this machine, without limits: in namespaces for mounts and network, with a private cgroup2. Both start the same image
// under crun with a network of its own. Rounds alternate, so that a busy moment of the machine hits both.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, cp, mkdir, mkdtemp, open, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { get } from 'node:http';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { ExecutionContext } from 'ava';
import { dataPaths } from '../../base/paths.ts';
import { mustRun, run } from '../../base/run.ts';
import { writeInstance } from '../../image/agent/root/services/instance.ts';
import { placeOf } from '../../image/agent/root/services/place.ts';
import { netUnit } from '../../image/agent/root/services/units.ts';
import { releaseService } from '../../image/publish/services.ts';
import { type Packed, packImage } from '../../image/services/pack.ts';
import { initReleaseKeys } from '../../keys/release/init.ts';
import { instanceUnit } from '../../protocol/agent/units.ts';
import { layout } from '../image/services/oci.ts';
import { installPeers } from './install-peers.ts';

const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 7);
/** Of `publish` and `start`. */
const WHAT = (process.env.WHAT ?? 'publish,start').split(',');
/** Packing takes its time. */
const PUBLISHES = Math.min(ROUNDS, 3);
/** Bytes of files in the image that is published. */
const SIZE = 8e6;
/** Sandboxes whose memory is read. */
const SANDBOXES = 5;
const ROOTFS = join(import.meta.dirname, '../../image/rootfs/usr/lib/bootwave');
/** Neither publishes a port: both are asked from the machine itself. */
const MANIFEST = `limits: { memory: 67108864, cpu: 100, tasks: 32 }
health: { check: { kind: http, port: 8080, path: / } }
`;

async function compare(work: string): Promise<void> {
  const ends: (() => unknown)[] = [];
  // What writes images for tests asks for no more of a test.
  const t = { teardown: (end: () => unknown) => void ends.push(end) } as ExecutionContext;
  try {
    if (WHAT.includes('publish')) await publishing(t, work);
    if (!WHAT.includes('start')) return;
    await nodeHere(work);
    const oci = await layout(t, {
      layers: [await smallService(work)],
      config: { Cmd: ['/bin/busybox', 'httpd', '-f', '-p', '8080', '-h', '/www'] },
    });
    await starting(oci, work);
  } finally {
    console.log(`load ${loadavg()[0]!.toFixed(1)}`);
    for (const end of ends) await end();
  }
}

/** From an image to what nodes fetch: both check digests, unpack, and pack with the same compression. */
async function publishing(t: ExecutionContext, work: string): Promise<void> {
  const [layer, megabytes] = await largeLayer(work);
  const oci = await layout(t, { layers: [layer] });
  const paths = dataPaths(join(work, 'data'));
  await initReleaseKeys(paths.keys);
  const rates = { ours: [] as number[], theirs: [] as number[] };
  const ours = async (round: number) => {
    const out = join(work, 'published.bundle');
    const packed = await packImage({
      service: { name: 'fleet/bench', version: `${round}` },
      oci,
      manifest: MANIFEST,
      out,
    });
    await releaseService(packed, { paths });
  };
  const theirs = async () => {
    const [copy, root, file] = [join(work, 'copy'), join(work, 'root'), join(work, 'squashfs')];
    await mustRun('skopeo', ['copy', '--quiet', `oci:${oci}`, `dir:${copy}`]);
    await mkdir(root);
    for (const name of await readdir(copy))
      if (/^[0-9a-f]{64}$/.test(name) && (await isGzip(join(copy, name))))
        await mustRun('tar', ['-xzf', join(copy, name), '-C', root]);
    await mustRun('mksquashfs', [
      root,
      file,
      '-comp',
      'zstd',
      '-Xcompression-level',
      '22',
      '-quiet',
      '-no-progress',
    ]);
    for (const path of [copy, root, file]) await rm(path, { recursive: true });
  };
  for (let round = 0; round < PUBLISHES; round += 1)
    for (const who of inTurn(round)) {
      const seconds = (await timed(() => (who === 'ours' ? ours(round) : theirs()))) / 1000;
      rates[who].push(megabytes / seconds);
    }
  report('service-publish', rates, 'MB/s', 'skopeo-and-mksquashfs', 1);
}

/** A node's network, as its image has it, in this process's namespaces. */
async function nodeHere(work: string): Promise<void> {
  // What lies below /run on a machine is in memory.
  const own = ['run', 'units', 'podman/runroot', 'podman/tmpdir'].map((name) => join(work, name));
  for (const at of ['/run/netns', '/run/crun', '/var/lib/cni', ...own]) {
    await mkdir(at, { recursive: true });
    await mustRun('mount', ['-t', 'tmpfs', 'x', at]);
  }
  await mustRun('mount', ['-t', 'cgroup2', 'none', '/sys/fs/cgroup']);
  await mustRun('ip', ['link', 'set', 'lo', 'up']);
  await writeFile('/proc/sys/net/ipv4/ip_forward', '1');
  await mustRun('nft', ['-f', join(ROOTFS, 'filter.nft')]);
}

async function starting(oci: string, work: string): Promise<void> {
  const packed = await packImage({
    service: { name: 'fleet/bench', version: '1' },
    oci,
    manifest: MANIFEST,
    out: join(work, 'start.bundle'),
  });
  const own = new Own(work, packed);
  const podman = new Podman(join(work, 'podman'));
  await podman.load(oci);
  try {
    await compareBoxes(own, podman);
  } finally {
    // What a failure left running outlives the namespaces that it runs in.
    for (const box of [own, podman]) for (let n = 0; n < SANDBOXES; n += 1) await box.stop(n).catch(() => {});
  }
}

async function compareBoxes(own: Own, podman: Podman): Promise<void> {
  const times = { ours: [] as number[], theirs: [] as number[] };
  // The first round warms caches, and is not counted.
  for (let round = 0; round <= ROUNDS; round += 1)
    for (const who of inTurn(round)) {
      const box = who === 'ours' ? own : podman;
      const took = await timed(async () => answers(await box.start(0)));
      if (round > 0) times[who].push(took);
      await box.stop(0);
    }
  report('service-start', times, 'ms', 'podman', 0);
  const memory = { ours: [] as number[], theirs: [] as number[] };
  for (const [who, box] of [
    ['ours', own],
    ['theirs', podman],
  ] as const) {
    for (let n = 0; n < SANDBOXES; n += 1) await answers(await box.start(n));
    for (let n = 0; n < SANDBOXES; n += 1) memory[who].push((await pss(await box.processes(n))) / 1e6);
    for (let n = 0; n < SANDBOXES; n += 1) await box.stop(n);
  }
  report('service-memory', memory, 'MB', 'podman', 2);
}

/** What root and PID 1 of a node do to start a bundle that is in the store, but for dm-verity and limits. */
class Own {
  readonly #packed: Packed;
  readonly #places: {
    run: string;
    units: string;
    networks: string;
    cgroups: string;
    shared: string;
    copy: string;
  };

  constructor(work: string, packed: Packed) {
    this.#packed = packed;
    this.#places = {
      run: join(work, 'run'),
      units: join(work, 'units'),
      networks: '/run/netns',
      cgroups: '/sys/fs/cgroup',
      shared: '/x',
      copy: '/x',
    };
  }

  async start(n: number): Promise<string> {
    const { file, sha256, size, custom } = this.#packed;
    const place = placeOf(n);
    const name = `fleet/bench${n}`;
    await mkdir(this.#places.units, { recursive: true });
    const service = { name, version: '1', sha256, size };
    await writeInstance(
      { service, bundle: custom, file, place, state: null, secrets: null, restraint: null },
      { restarts: 0, revivals: 0, begun: 0 },
      this.#places,
    );
    const root = join(this.#places.run, 'mounts', sha256);
    if ((await run('mountpoint', ['-q', root])).code !== 0)
      await mustRun('mount', ['-t', 'squashfs', '-o', 'loop,ro,nosuid,nodev', file, root]);
    await this.#unit(netUnit(`fleet.bench${n}`), 'ExecStart(?:Pre)?');
    await this.#unit(instanceUnit(`fleet.bench${n}`), 'ExecStart(?:Pre)?');
    return place.address;
  }

  async stop(n: number): Promise<void> {
    await this.#unit(instanceUnit(`fleet.bench${n}`), 'ExecStopPost');
    await this.#unit(netUnit(`fleet.bench${n}`), 'ExecStopPost');
    await run('umount', ['--lazy', join(this.#places.run, 'mounts', this.#packed.sha256)]);
  }

  async processes(n: number): Promise<number[]> {
    return [Number(await readFile(join(this.#places.run, `instances/fleet.bench${n}/pid`), 'utf8'))];
  }

  /** One after the other, as systemd runs them: from a small process, which this one is not. */
  async #unit(unit: string, kind: string): Promise<void> {
    const text = await readFile(join(this.#places.units, unit), 'utf8');
    const lines = [...text.matchAll(new RegExp(`^${kind}=(-?)(.*)$`, 'gm'))].map(
      ([, optional, line]) =>
        `${line!.replace('/usr/lib/bootwave/', `${ROOTFS}/`)}${optional === '' ? '' : ' || :'}`,
    );
    const child = spawn('sh', ['-ec', lines.join('\n')], { stdio: 'ignore' });
    const [code] = await once(child, 'exit');
    if (code !== 0) throw new Error(`${unit}: ${code}`);
  }
}

/** As root, with its default network and storage, in folders of its own. */
class Podman {
  readonly #common: string[];

  constructor(folder: string) {
    const places = ['root', 'runroot', 'tmpdir'].flatMap((name) => [`--${name}`, join(folder, name)]);
    this.#common = [...places, '--cgroup-manager=cgroupfs', '--runtime=crun', '--events-backend=file'];
  }

  async load(oci: string): Promise<void> {
    const archive = join(oci, 'archive.tar');
    await mustRun('skopeo', ['copy', '--quiet', `oci:${oci}`, `docker-archive:${archive}:bench:latest`]);
    await mustRun('podman', [...this.#common, 'load', '--quiet', '--input', archive]);
  }

  async start(n: number): Promise<string> {
    const address = `10.88.0.${n + 50}`;
    const contained = [
      '--cgroups=disabled',
      '--read-only',
      '--cap-drop=all',
      '--security-opt=no-new-privileges',
    ];
    // Its default limits are above those of this machine.
    const limits = ['--ulimit=nofile=1024:4096', '--ulimit=nproc=4096:4096'];
    await mustRun('podman', [
      ...this.#common,
      'run',
      '--detach',
      '--name',
      `b${n}`,
      '--ip',
      address,
      ...contained,
      ...limits,
      'bench',
    ]);
    return address;
  }

  async stop(n: number): Promise<void> {
    await mustRun('podman', [...this.#common, 'rm', '--force', '--time=0', `b${n}`]);
  }

  /** Its monitor stays for as long as the container. */
  async processes(n: number): Promise<number[]> {
    const format = '{{.State.Pid}} {{.State.ConmonPid}}';
    const { stdout } = await mustRun('podman', [...this.#common, 'inspect', '--format', format, `b${n}`]);
    return stdout.trim().split(' ').map(Number);
  }
}

/** Until it answers HTTP. */
async function answers(address: string): Promise<void> {
  for (const end = performance.now() + 60_000; performance.now() < end; await sleep(2)) {
    const is = await new Promise<boolean>((resolve) => {
      const sent = get({ host: address, port: 8080, agent: false, timeout: 1000 }, (response) => {
        response.resume();
        resolve(response.statusCode === 200);
      });
      sent.on('timeout', () => sent.destroy());
      sent.on('error', () => resolve(false));
    });
    if (is) return;
  }
  throw new Error(`${address} does not answer`);
}

/** Bytes: memory of their own, and their share of what they have in common with others (proc(5), smaps_rollup). */
async function pss(processes: readonly number[]): Promise<number> {
  let bytes = 0;
  for (const pid of processes) {
    const text = await readFile(`/proc/${pid}/smaps_rollup`, 'utf8');
    bytes += Number(/^Pss:\s+(\d+) kB$/m.exec(text)?.[1]) * 1024;
  }
  return bytes;
}

async function smallService(work: string): Promise<Buffer> {
  const root = join(work, 'small');
  await mkdir(join(root, 'bin'), { recursive: true });
  await mkdir(join(root, 'www'));
  await cp('/usr/bin/busybox', join(root, 'bin/busybox'));
  await writeFile(join(root, 'www/index.html'), 'well');
  return tarred(root, ['.'], work);
}

/** Programs of this machine. @returns a tar of them, and megabytes (10^6) */
async function largeLayer(work: string): Promise<[Buffer, number]> {
  const chosen: string[] = [];
  let bytes = 0;
  for (const entry of (await readdir('/usr/bin', { withFileTypes: true })).toSorted((a, b) =>
    a.name < b.name ? -1 : 1,
  )) {
    if (!entry.isFile() || bytes >= SIZE) continue;
    const { size, mode, nlink } = await stat(join('/usr/bin', entry.name));
    if (size > SIZE / 4 || (mode & 0o6000) !== 0 || nlink > 1) continue;
    chosen.push(`usr/bin/${entry.name}`);
    bytes += size;
  }
  return [await tarred('/', chosen, work), bytes / 1e6];
}

async function tarred(root: string, paths: readonly string[], work: string): Promise<Buffer> {
  const file = join(work, 'layer.tar');
  await mustRun('tar', ['--owner=0', '--group=0', '--numeric-owner', '-C', root, '-cf', file, ...paths]);
  return readFile(file);
}

async function isGzip(path: string): Promise<boolean> {
  const handle = await open(path);
  const { buffer } = await handle.read(Buffer.alloc(2), 0, 2, 0);
  await handle.close();
  return buffer.readUInt16BE() === 0x1f8b;
}

function inTurn(round: number): ('ours' | 'theirs')[] {
  return round % 2 === 0 ? ['ours', 'theirs'] : ['theirs', 'ours'];
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await work();
  return performance.now() - started;
}

function report(
  name: string,
  { ours, theirs }: Record<'ours' | 'theirs', number[]>,
  unit: string,
  peer: string,
  digits: number,
): void {
  const [a, b] = [median(ours), median(theirs)];
  console.log(
    `bench ${name} ${a.toFixed(digits)} ${unit} vs ${peer} ${b.toFixed(digits)} ${unit} ratio ${(a / b).toFixed(2)}`,
  );
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}

// Last, because classes are not there before they are read.
if (process.argv[2] !== 'inside') {
  const peers = {
    podman: 'podman',
    skopeo: 'skopeo',
    '/usr/lib/cni/bridge': 'containernetworking-plugins',
    iptables: 'iptables',
  };
  const why = await installPeers(peers);
  if (why !== null) throw new Error(why);
  const work = await mkdtemp(join(tmpdir(), 'bootwave-bench-service-'));
  // Instances go through it with ids that are nobody's.
  await chmod(work, 0o711);
  const self = [process.execPath, ...process.execArgv, fileURLToPath(import.meta.url), 'inside', work];
  const [code] = await once(
    spawn('unshare', ['--net', '--mount', '--propagation=private', ...self], { stdio: 'inherit' }),
    'exit',
  );
  process.exitCode = code ?? 1;
  // All that was mounted in it goes with that process, soon.
  await rm(work, { recursive: true, force: true, maxRetries: 50, retryDelay: 100 });
} else await compare(process.argv[3]!);
