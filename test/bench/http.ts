/** Downloads of a 90 MB image, one and 50 in parallel, against nginx with sendfile serving the same file. */
// Both servers are processes of their own on loopback and meet the same client, curl in one process for all parallel
// downloads, which throws the bytes away. Rounds alternate, so that a busy moment of the machine hits both.
import { type ChildProcess, spawn } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { mustRun } from '../../base/run.ts';
import { makeUki, writeManifest } from '../bootserver/http/fixture.ts';
import { freePort } from '../support/free-port.ts';

const SIZE = 90 * 1000 * 1000;
const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 7);
const NAME = 'bootwave_1.0.efi';

if (process.argv[2] === 'serve') await serve(process.argv[3] ?? '', Number(process.argv[4]));
else await compare();

async function serve(folder: string, port: number): Promise<void> {
  const { startHttp } = await import('../../bootserver/http/server.ts');
  const { createLogger } = await import('../../base/log.ts');
  await startHttp({
    listen: { host: '127.0.0.1', port },
    images: folder,
    loaders: folder,
    script: async () => '',
    log: createLogger('bench', 'warn'),
  });
}

async function compare(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'bootwave-bench-http-'));
  const children: ChildProcess[] = [];
  try {
    await writeImage(folder);
    const ours = await freePort();
    const theirs = await freePort();
    children.push(
      spawn(process.execPath, [fileURLToPath(import.meta.url), 'serve', folder, String(ours)], {
        stdio: 'inherit',
      }),
    );
    children.push(await startNginx(folder, theirs));
    await Promise.all([reachable(ours), reachable(theirs)]);
    const urls = {
      ours: `http://127.0.0.1:${ours}/m/52-54-00-00-00-01/${NAME}`,
      theirs: `http://127.0.0.1:${theirs}/${NAME}`,
    };
    for (const [name, parallel] of [
      ['http', 1],
      ['http-50', 50],
    ] as const) {
      const rates = { ours: [] as number[], theirs: [] as number[] };
      // The first round warms page cache and code, and is not counted.
      for (let round = 0; round <= ROUNDS; round += 1) {
        for (const who of round % 2 === 0 ? (['ours', 'theirs'] as const) : (['theirs', 'ours'] as const)) {
          const rate = await download(urls[who], parallel);
          if (round > 0) rates[who].push(rate);
        }
      }
      const [a, b] = [median(rates.ours), median(rates.theirs)];
      console.log(
        `bench ${name} ${a.toFixed(0)} MB/s vs nginx ${b.toFixed(0)} MB/s ratio ${(a / b).toFixed(2)}`,
      );
    }
  } finally {
    await Promise.all(children.map(end));
    await rm(folder, { recursive: true });
  }
}

async function writeImage(folder: string): Promise<void> {
  const content = Buffer.alloc(SIZE - 4096);
  randomFillSync(content);
  const uki = makeUki([{ name: '.linux', content }]);
  await writeFile(join(folder, NAME), uki);
  await writeManifest(folder, '1.0', uki.length, '0'.repeat(64));
  // Written back now, so that the disk is quiet while we measure.
  const handle = await open(join(folder, NAME), 'r');
  await handle.sync();
  await handle.close();
}

/** As Debian configures it: a worker per core, sendfile and tcp_nopush on; the access log is off for both. */
async function startNginx(folder: string, port: number): Promise<ChildProcess> {
  const prefix = join(folder, 'nginx');
  await mkdir(prefix);
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((kind) => `${kind}_temp_path ${prefix}/${kind};`)
    .join(' ');
  const user = process.getuid?.() === 0 ? 'user root;' : '';
  await writeFile(
    join(prefix, 'nginx.conf'),
    `daemon off; ${user} worker_processes auto; pid ${prefix}/pid; error_log stderr warn;
events { worker_connections 768; }
http {
  sendfile on; tcp_nopush on; access_log off; ${temporary}
  server { listen 127.0.0.1:${port}; root ${folder}; }
}
`,
  );
  return spawn('nginx', ['-p', prefix, '-c', join(prefix, 'nginx.conf'), '-e', 'stderr'], {
    stdio: 'inherit',
  });
}

/** @returns megabytes (10^6) a second, all downloads together */
async function download(url: string, parallel: number): Promise<number> {
  // curl's own globbing asks for the same file `parallel` times; the fragment never reaches the server.
  const args = ['-sS', '--fail', '--max-time', '300', '-o', '/dev/null', '-w', '%{size_download}\\n'];
  const started = performance.now();
  const { stdout } = await mustRun('curl', [
    ...args,
    ...(parallel > 1 ? ['-Z', '--parallel-immediate', '--parallel-max', String(parallel)] : []),
    `${url}#[1-${parallel}]`,
  ]);
  const seconds = (performance.now() - started) / 1000;
  const sizes = stdout.trim().split('\n').map(Number);
  const bytes = sizes.reduce((sum, size) => sum + size, 0);
  if (sizes.length !== parallel || bytes < parallel * (SIZE - 4096))
    throw new Error(`short download: ${stdout}`);
  return bytes / 1e6 / seconds;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}

async function reachable(port: number): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    const socket = connect(port, '127.0.0.1');
    const open = await once(socket, 'connect').then(
      () => true,
      () => false,
    );
    socket.destroy();
    if (open) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`nothing listens on port ${port}`);
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGTERM');
  await once(child, 'exit');
}
