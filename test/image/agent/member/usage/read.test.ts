/** A node's files as the kernel has them, in a folder; and the real ones of this machine. */

import { statSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { deviceNumber } from '../../../../../image/agent/member/usage/kernel-text.ts';
import { readUsage, type Told } from '../../../../../image/agent/member/usage/read.ts';
import { instanceId, instanceUnit } from '../../../../../protocol/agent/units.ts';
import { encodeFrame } from '../../../../../protocol/link/frame.ts';
import { LINK_LIMITS } from '../../../../../protocol/link/messages.ts';
import { usageSchema } from '../../../../../protocol/link/usage.ts';

const SLICE = 'sys/fs/cgroup/bootwave.slice/bootwave-services.slice';
const BOOT = { bootId: 'b', at: 12_345.6 };
const told = (name: string, more: Partial<Told> = {}): Told => ({
  ...{ name, runs: '1', state: 'running', health: 'healthy', restarts: 0, interface: 'bws7' },
  ...more,
});

async function nodeOf(t: ExecutionContext, files: Record<string, string>) {
  const folder = await mkdtemp(join(tmpdir(), 'bootwave-usage-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), text);
  }
  return { folder, places: { proc: join(folder, 'proc'), sys: join(folder, 'sys'), state: folder } };
}

const CPU = 'cpu  100 0 50 9000 0 0 0 0 0 0\ncpu0 1\ncpu1 1\n';
const DEV = [
  'Inter-|   Receive                                                |  Transmit',
  ' face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed',
  '    lo:     900       1    0    0    0     0          0         0      900       1    0    0    0     0       0          0',
  '  eth0:    1000       1    0    0    0     0          0         0     2000       1    0    0    0     0       0          0',
  '  eth1:      10       1    0    0    0     0          0         0       20       1    0    0    0     0       0          0',
  '  bws7:      77       1    0    0    0     0          0         0       88       1    0    0    0     0       0          0',
].join('\n');
const DISKS = [
  '   8       0 sda 5 0 100 0 6 0 200 0 0 0 0',
  '   8       1 sda1 5 0 100 0 6 0 200 0 0 0 0',
  ' 254       0 dm-0 5 0 100 0 6 0 200 0 0 0 0',
  '   7       0 loop0 5 0 100 0 6 0 200 0 0 0 0',
].join('\n');
const of = (name: string): string => `${SLICE}/${instanceUnit(instanceId(name))}`;
const files = (state: string) => ({
  'proc/stat': CPU,
  'proc/meminfo': 'MemTotal:       1000 kB\nMemFree: 10 kB\nMemAvailable:    400 kB\n',
  'proc/net/dev': DEV,
  'proc/diskstats': DISKS,
  'sys/block/sda/device/model': 'x',
  'sys/block/dm-0/size': '1',
  'sys/block/loop0/size': '1',
  'sys/class/net/eth0/device/vendor': 'x',
  'sys/class/net/eth1/device/vendor': 'x',
  'sys/class/net/bws7/address': 'x',
  [`${of('fleet/chrony')}/cpu.stat`]: 'usage_usec 5999\nuser_usec 1\n',
  [`${of('fleet/chrony')}/memory.current`]: '10000\n',
  [`${of('fleet/chrony')}/memory.stat`]: 'anon 6000\ninactive_file 3000\n',
  [`${of('fleet/chrony')}/pids.current`]: '3\n',
  [`${of('fleet/chrony')}/io.stat`]: `${state} rbytes=512 wbytes=1024 rios=1 wios=1 dbytes=0 dios=0\n7:0 rbytes=9 wbytes=9\n`,
});

test('a node and an instance: hardware alone counts for the node, its own unit and interface for the instance', async (t) => {
  const device = deviceNumber(statSync(tmpdir()).dev);
  const { places } = await nodeOf(t, files(device));
  const usage = readUsage(places, BOOT, [told('fleet/chrony')]);
  t.deepEqual(usage, {
    ...{ bootId: 'b', at: 12_345, processors: 2, cpu: 1500 },
    memory: { total: 1_024_000, available: 409_600 },
    disk: { read: 51_200, written: 102_400 },
    network: { received: 1010, sent: 2020 },
    services: [
      {
        ...{ name: 'fleet/chrony', runs: '1', state: 'running', health: 'healthy', restarts: 0 },
        ...{ cpu: 5, memory: 7000, tasks: 3, disk: { read: 512, written: 1024 } },
        // The node's end of the pair receives what the instance sends.
        network: { received: 88, sent: 77 },
      },
    ],
  });
  t.true(usageSchema.safeParse(usage).success);
});

test('what an instance may take is what the kernel holds it to; root says since when', async (t) => {
  const share = { cpu: 1, memory: 2, since: 3 };
  const bound = (more: object) => nodeOf(t, { ...files('8:0'), ...more });
  const of1 = async (more: object) =>
    readUsage((await bound(more)).places, BOOT, [told('fleet/chrony', { share })]).services[0]!.share;
  const [cpu, memory] = ['cpu.max', 'memory.max'].map((file) => `${of('fleet/chrony')}/${file}`);
  t.deepEqual(await of1({ [cpu!]: '35000 100000\n', [memory!]: '4096\n' }), {
    cpu: 35,
    memory: 4096,
    since: 3,
  });
  t.deepEqual(await of1({ [cpu!]: 'max 100000\n', [memory!]: 'max\n' }), share);
  t.deepEqual(await of1({}), share);
});

test('what cannot be read is unknown, never 0; the rest is told', async (t) => {
  const all = files('8:0');
  const { places } = await nodeOf(t, {
    ...all,
    [`${of('fleet/chrony')}/memory.stat`]: '',
    [`${of('fleet/gone')}/cpu.stat`]: 'usage_usec 1000\n',
  });
  const { services } = readUsage(places, BOOT, [
    told('fleet/chrony'),
    // Its unit ended between two files.
    told('fleet/gone', { interface: 'bws9' }),
    told('fleet/waits', { runs: null, state: 'waiting', interface: null }),
  ]);
  t.is(services[0]!.memory, null);
  const gone = { cpu: 1, memory: null, tasks: null, disk: null, network: null };
  t.like(services[1], gone);
  t.like(services[2], { ...gone, cpu: null });
  const nothing = readUsage({ proc: '/nowhere', sys: '/nowhere', state: '/nowhere' }, BOOT, [told('a/b')]);
  t.like(nothing, { processors: 1, cpu: null, memory: null, disk: null, network: null });
  t.true(usageSchema.safeParse(nothing).success);
});

test('the files of this machine, as any user reads them', async (t) => {
  const usage = readUsage({ proc: '/proc', sys: '/sys', state: '/' }, BOOT, []);
  t.true(usageSchema.safeParse(usage).success);
  t.not(usage.cpu, null);
  t.not(usage.memory, null);
  t.not(usage.network, null);
});

test('64 instances with the longest names fit a frame', async (t) => {
  const most = Number.MAX_SAFE_INTEGER;
  const name = (i: number) =>
    `${'o'.repeat(32)}/n${'x'.repeat(28)}${String(i).padStart(3, '0')}@${'s'.repeat(32)}`;
  const services = Array.from({ length: 64 }, (_, i) => ({
    ...{ name: name(i), runs: '1'.repeat(64), state: 'running' as const, health: 'healthy' as const },
    ...{ restarts: most, cpu: most, memory: 2 ** 50, tasks: 2 ** 22 },
    ...{ disk: { read: most, written: most }, network: { received: most, sent: most } },
    share: { cpu: 2 ** 19, memory: 2 ** 50, since: 2 ** 42 },
  }));
  const usage = { ...readUsage({ proc: '/proc', sys: '/sys', state: '/' }, BOOT, []), services };
  t.true(usageSchema.safeParse(usage).success);
  t.true(encodeFrame({ kind: 'result', id: 1, result: usage }).length < LINK_LIMITS.frameBytes / 2);
});
