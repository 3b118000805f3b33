/** A loader by TFTP, one and 50 clients, windows 1, 4 and 16, against dnsmasq and in.tftpd. */
// All in a network namespace of its own, each server at its own address; a client in C for all three. The others know no
// windows (RFC 7440) and decline. Rounds alternate, so that a busy moment of the machine hits all. `node` is no server: a
// bare UDP socket of Node that sends the next block for each acknowledgement, to one client by lock-step; nothing that runs
// in Node can be faster than that.
import { type ChildProcess, spawn } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { mustRun, run } from '../../base/run.ts';
import { processorSeconds } from './support/processor.ts';

const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 7);
/** Clients, and bytes of the file that each of them fetches: iPXE has one million. */
const CASES = [
  { clients: 1, bytes: 16_000_000 },
  { clients: 50, bytes: 1_000_000 },
] as const;
const WINDOWS = [1, 4, 16];
/** Fills an Ethernet frame; what EDK2 and iPXE ask for is within a few bytes of it. */
const BLOCK = 1468;

type Server = { address: string; pid: number };

const self = fileURLToPath(import.meta.url);
if (process.argv[2] === 'serve') await serve(process.argv[3] ?? '');
else if (process.argv[2] === 'bare') bareNode();
else if (process.argv[2] === 'inside') await compare();
else await inNamespace();

async function serve(folder: string): Promise<void> {
  const { openSockets } = await import('../../bootserver/sockets.ts');
  const { startTftp } = await import('../../bootserver/tftp/server.ts');
  const { createLogger } = await import('../../base/log.ts');
  const sockets = await openSockets({ interface: 'lo', address: '127.0.0.1', httpPort: 80, httpsPort: 443 });
  startTftp({
    socket: sockets.tftp,
    openTransfer: sockets.transferSocket,
    segmenting: true,
    folder,
    log: createLogger('bench', 'silent'),
  });
}

/** Knows no file, no state and no timer. */
function bareNode(): void {
  const address = '127.0.0.4';
  const datagram = Buffer.alloc(4 + BLOCK);
  const requests = createSocket('udp4').bind(69, address);
  requests.on('message', (request, from) => {
    const bytes = Number.parseInt(request.toString('latin1', 2), 10);
    const socket = createSocket('udp4').bind(0, address, () =>
      socket.connect(from.port, from.address, begin),
    );
    const begin = () => socket.send(`\0\x06blksize\0${BLOCK}\0`);
    socket
      .on('error', () => {})
      .on('message', (packet) => {
        const block = packet.readUInt16BE(2) + 1;
        datagram.writeUInt32BE(0x30000 + block, 0);
        const length = Math.min(BLOCK, bytes - (block - 1) * BLOCK);
        if (length >= 0) socket.send(datagram, 0, 4 + length);
      });
  });
}

async function inNamespace(): Promise<void> {
  // in.tftpd resolves addresses only where one is not of loopback.
  const script =
    'ip link set lo up && ip addr add 10.99.0.1/32 dev lo && exec "$0" --disable-warning=ExperimentalWarning "$@"';
  const child = spawn('unshare', ['--net', 'sh', '-c', script, process.execPath, self, 'inside'], {
    stdio: 'inherit',
  });
  const [code] = await once(child, 'exit');
  process.exitCode = Number(code ?? 1);
}

async function compare(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'bootwave-bench-tftp-'));
  const children: ChildProcess[] = [];
  const start = (program: string, args: string[]) => {
    const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'inherit'] });
    children.push(child);
    return child.pid ?? 0;
  };
  try {
    // dnsmasq and in.tftpd give up root.
    await chmod(folder, 0o755);
    for (const { bytes } of CASES) {
      const file = join(folder, `${bytes}.efi`);
      await writeFile(file, randomFillSync(Buffer.alloc(bytes)), { mode: 0o644 });
    }
    const client = join(folder, 'client');
    await mustRun('gcc', ['-O2', '-o', client, fileURLToPath(new URL('./tftp-client.c', import.meta.url))]);
    const servers = new Map<string, Server>();
    const ours = start(process.execPath, ['--disable-warning=ExperimentalWarning', self, 'serve', folder]);
    servers.set('ours', { address: '127.0.0.1', pid: ours });
    const dnsmasq = start('dnsmasq', [
      ...[
        '--keep-in-foreground',
        '--conf-file=/dev/null',
        '--port=0',
        '--user=root',
        '--log-facility=/dev/null',
      ],
      ...[
        '--enable-tftp',
        `--tftp-root=${folder}`,
        '--tftp-max=200',
        '--bind-interfaces',
        '--listen-address=127.0.0.2',
      ],
      `--pid-file=${join(folder, 'dnsmasq.pid')}`,
    ]);
    servers.set('dnsmasq', { address: '127.0.0.2', pid: dnsmasq });
    if (existsSync('/usr/sbin/in.tftpd')) {
      const pid = start('/usr/sbin/in.tftpd', ['-L', '-a', '127.0.0.3:69', '-u', 'root', '-s', folder]);
      servers.set('in.tftpd', { address: '127.0.0.3', pid });
    } else console.log('bench: in.tftpd is not here (apt-get install tftpd-hpa), so it is left out');
    const bare = start(process.execPath, ['--disable-warning=ExperimentalWarning', self, 'bare']);
    servers.set('node', { address: '127.0.0.4', pid: bare });
    const get = async (
      { address, pid }: Server,
      window: number,
      { clients, bytes }: (typeof CASES)[number],
    ) => {
      const args = [address, `${bytes}.efi`, bytes, BLOCK, window, clients].map(String);
      const before = await processorSeconds(pid);
      const [seconds, again] = (await mustRun(client, args)).stdout.trim().split(' ').map(Number);
      const megabytes = (bytes * clients) / 1e6;
      const cost = (1000 * ((await processorSeconds(pid)) - before)) / megabytes;
      return { rate: megabytes / (seconds ?? 0), cost, again: again ?? 0 };
    };
    for (const { address } of servers.values()) await answers(client, address);
    for (const one of CASES) {
      for (const window of WINDOWS) {
        const got = new Map(
          [...servers.keys()].map((name) => [name, [] as Awaited<ReturnType<typeof get>>[]]),
        );
        // The first round warms page cache and code, and is not counted.
        for (let round = 0; round <= ROUNDS; round += 1) {
          const order = round % 2 === 0 ? [...servers] : [...servers].reverse();
          for (const [name, server] of order) {
            if (name === 'node' && (one.clients > 1 || window > 1)) continue;
            const measured = await get(server, window, one);
            if (round > 0) got.get(name)?.push(measured);
          }
        }
        const of = (name: string, what: 'rate' | 'cost' | 'again') =>
          median((got.get(name) ?? []).map((each) => each[what]));
        const measured = [...servers.keys()].filter((name) => (got.get(name) ?? []).length > 0);
        const shown = measured.map((name) => {
          const ratio = name === 'ours' ? '' : ` ratio ${(of('ours', 'rate') / of(name, 'rate')).toFixed(2)}`;
          return `${name} ${of(name, 'rate').toFixed(0)} MB/s, ${of(name, 'cost').toFixed(1)} ms of processor a MB${ratio}`;
        });
        console.log(`bench tftp clients ${one.clients} window ${window}: ${shown.join('; ')}`);
      }
    }
  } finally {
    await Promise.all(children.map(end));
    await rm(folder, { recursive: true });
  }
}

async function answers(client: string, address: string): Promise<void> {
  const { bytes } = CASES[1];
  let said = '';
  // Each try takes up to 20 s; on a busy machine a server needs that to start.
  for (let attempt = 0; attempt < 3; attempt += 1) {
    const got = await run(client, [address, `${bytes}.efi`, String(bytes), String(BLOCK), '1', '1']);
    if (got.code === 0) return;
    said = got.stderr;
  }
  throw new Error(`the server at ${address} does not serve: ${said}`);
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGTERM');
  await once(child, 'exit');
}
