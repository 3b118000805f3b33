/** DHCP exchanges by perfdhcp with 1,000 and 20,000 clients, ours with probing and leases on disk, against Kea and dnsmasq. */
// Each server is a process of its own in one network namespace, perfdhcp in another; it speaks as a relay on the same
// wire. Ours probes every new address by ARP and syncs each lease before its ACK; Kea (memfile) and dnsmasq do neither
// here (`--no-ping`: with its ping dnsmasq answers one new client after the other).
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { mustRun, run } from '../../base/run.ts';
import { installPeers } from './install-peers.ts';
import { processorSeconds } from './support/processor.ts';

const SERVER_IP = '10.95.0.1';
const CLIENTS = [1000, 20_000] as const;
/** Seconds of one measurement. */
const SECONDS = Number(process.env.BENCH_SECONDS ?? 8);
const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 3);
/** Exchanges a second that must be answered without a loss, and more than anybody answers. */
const RATES = { steady: 2000, flood: 8000 } as const;
const WHO = ['bootwave', 'kea', 'dnsmasq'] as const;
type Who = (typeof WHO)[number];

const namespaces = { server: `bwbench${process.pid}s`, client: `bwbench${process.pid}c` };

if (process.argv[2] === 'serve') await serve(process.argv[3] ?? '');
else await compare();

async function serve(folder: string): Promise<void> {
  process.on('SIGINT', () => process.exit(0));
  const { openSockets } = await import('../../bootserver/sockets.ts');
  const { startDhcp } = await import('../../bootserver/dhcp/start.ts');
  const { createLogger } = await import('../../base/log.ts');
  const sockets = await openSockets({ interface: 'srv0', httpPort: 7080, httpsPort: 7443 });
  await startDhcp({
    sockets,
    probe: sockets.probe,
    directory: { bootIntent: async () => ({ kind: 'refuse', reason: '' }), sawBoot: async () => {} },
    leases: join(folder, 'leases'),
    log: createLogger('bench', 'warn'),
    signal: new AbortController().signal,
    config: {
      serverIp: SERVER_IP,
      proxy: false,
      httpPort: 7080,
      httpsPort: 7443,
      subnets: [
        {
          network: '10.95.0.0',
          netmask: '255.255.0.0',
          pools: [{ from: '10.95.1.0', to: '10.95.250.255' }],
        },
      ],
    },
  });
}

async function compare(): Promise<void> {
  const missing = await installPeers({
    perfdhcp: 'kea-admin',
    'kea-dhcp4': 'kea-dhcp4-server',
    dnsmasq: 'dnsmasq-base',
  });
  if (missing !== null) throw new Error(missing);
  await makeWire();
  try {
    for (const clients of CLIENTS) {
      const rates = new Map<Who, number[]>(WHO.map((who) => [who, []]));
      const lost = new Map<Who, number[]>(WHO.map((who) => [who, []]));
      const costs = new Map<Who, number[]>(WHO.map((who) => [who, []]));
      for (let round = 0; round < ROUNDS; round += 1) {
        // Turned around each time, so that a busy moment of the machine hits all.
        for (const who of round % 2 === 0 ? WHO : WHO.toReversed()) {
          const measured = await measure(who, clients);
          rates.get(who)?.push(measured.rate);
          lost.get(who)?.push(measured.lost);
          costs.get(who)?.push(measured.cost);
        }
      }
      const rate = (who: Who) => median(rates.get(who) ?? []);
      for (const peer of ['kea', 'dnsmasq'] as const) {
        const ratio = (rate('bootwave') / rate(peer)).toFixed(2);
        const figures = `${rate('bootwave').toFixed(0)}/s vs ${peer} ${rate(peer).toFixed(0)}/s`;
        console.log(`bench dhcp-${clients} ${figures} ratio ${ratio}`);
      }
      const spent = WHO.map((who) => `${who} ${(median(costs.get(who) ?? []) * 1e6).toFixed(0)} us`).join(
        ', ',
      );
      console.log(`bench dhcp-${clients}-processor for one answer: ${spent}`);
      const losses = WHO.map((who) => `${who} ${(median(lost.get(who) ?? []) * 100).toFixed(2)} %`).join(
        ', ',
      );
      console.log(
        `bench dhcp-${clients}-lost at ${RATES.steady}/s: ${losses}; load ${loadavg()[0]?.toFixed(1)}`,
      );
    }
  } finally {
    for (const name of Object.values(namespaces)) await run('ip', ['netns', 'del', name]);
  }
}

async function makeWire(): Promise<void> {
  const ip = (...args: string[]) => mustRun('ip', args);
  const { server, client } = namespaces;
  for (const name of [server, client]) await ip('netns', 'add', name);
  await ip('-n', server, 'link', 'add', 'srv0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', client);
  await ip('-n', server, 'addr', 'add', `${SERVER_IP}/16`, 'dev', 'srv0');
  await ip('-n', client, 'addr', 'add', '10.95.0.2/16', 'dev', 'eth0');
  await ip('-n', server, 'link', 'set', 'srv0', 'up');
  await ip('-n', client, 'link', 'set', 'eth0', 'up');
}

/** A server that knows no client yet, at a steady rate and then flooded. */
async function measure(who: Who, clients: number): Promise<{ rate: number; lost: number; cost: number }> {
  const folder = await mkdtemp(join(tmpdir(), 'bootwave-bench-dhcp-'));
  const child = await start(who, folder);
  try {
    await answers();
    const before = await processorSeconds(child.pid ?? 0);
    const steady = await perfdhcp(clients, RATES.steady);
    const flood = await perfdhcp(clients, RATES.flood);
    const cost = ((await processorSeconds(child.pid ?? 0)) - before) / (steady.answers + flood.answers);
    return { rate: flood.done / SECONDS, lost: steady.lost, cost };
  } finally {
    child.kill('SIGTERM');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    await rm(folder, { recursive: true, force: true });
  }
}

async function start(who: Who, folder: string): Promise<ChildProcess> {
  const inside = (program: string, args: readonly string[], env = {}) =>
    spawn('ip', ['netns', 'exec', namespaces.server, program, ...args], {
      stdio: ['ignore', 'ignore', 'inherit'],
      env: { ...process.env, ...env },
    });
  switch (who) {
    case 'bootwave':
      return inside(process.execPath, [fileURLToPath(import.meta.url), 'serve', folder]);
    case 'dnsmasq':
      return inside('dnsmasq', [
        ...['--keep-in-foreground', '--conf-file=/dev/null', '--port=0', '--interface=srv0', '--user=root'],
        ...['--dhcp-range=10.95.1.0,10.95.250.255,12h', '--dhcp-lease-max=70000', '--no-ping'],
        ...[
          `--dhcp-leasefile=${join(folder, 'leases')}`,
          '--pid-file',
          '--log-facility=/dev/null',
          '--quiet-dhcp',
        ],
      ]);
    case 'kea': {
      const config = {
        Dhcp4: {
          'interfaces-config': { interfaces: [`srv0/${SERVER_IP}`] },
          'lease-database': { type: 'memfile', persist: true, name: join(folder, 'leases.csv') },
          'valid-lifetime': 43_200,
          subnet4: [{ subnet: '10.95.0.0/16', pools: [{ pool: '10.95.1.0 - 10.95.250.255' }] }],
          loggers: [{ name: 'kea-dhcp4', severity: 'ERROR', output_options: [{ output: 'stderr' }] }],
        },
      };
      const path = join(folder, 'kea.conf');
      await writeFile(path, JSON.stringify(config));
      return inside('kea-dhcp4', ['-c', path], { KEA_PIDFILE_DIR: folder, KEA_LOCKFILE_DIR: folder });
    }
  }
}

async function answers(): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    const { stdout } = await client(['-n', '1', '-R', '1', '-r', '1', '-W', '1000000']);
    if (/received packets: [1-9]/.test(stdout)) return;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  throw new Error('the server does not answer');
}

function client(args: readonly string[]) {
  const all = ['-4', '-l', 'eth0', ...args, SERVER_IP];
  return run('ip', ['netns', 'exec', namespaces.client, 'perfdhcp', ...all], { timeout: 120_000 });
}

type Exchanges = {
  /** Whole ones. */
  done: number;
  /** OFFERs and ACKs. */
  answers: number;
  /** Which part of the DISCOVERs and REQUESTs was not answered. */
  lost: number;
};

async function perfdhcp(clients: number, rate: number): Promise<Exchanges> {
  // A second more for the last answers.
  const args = ['-R', String(clients), '-r', String(rate), '-p', String(SECONDS), '-W', '1000000', '-d', '2'];
  const { stdout } = await client(args);
  const sums = [...stdout.matchAll(/sent packets: (\d+)\s+received packets: (\d+)/g)];
  if (sums.length < 2) throw new Error(`perfdhcp said: ${stdout}`);
  const sent = sums.reduce((sum, [, count]) => sum + Number(count), 0);
  const received = sums.reduce((sum, [, , count]) => sum + Number(count), 0);
  return {
    done: Number(sums[1]?.[2] ?? 0),
    answers: received,
    lost: sent === 0 ? 1 : Math.max(0, 1 - received / sent),
  };
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}
