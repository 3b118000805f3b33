/** Bytes that leave the boot server while a site is updated in waves, with mirrors on its nodes and without. */
// Everything but the machines is real: the boot server's HTTP, the configuration of the fleet's own mirror under nginx, the
// choice of mirrors and the node's download. Nodes are addresses of the loopback in a network namespace of this bench, and
// the kernel counts what leaves the server.
import { type ChildProcess, spawn } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import { once } from 'node:events';
import { copyFile, link, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { digestOfFile } from '../../base/files.ts';
import { mustRun } from '../../base/run.ts';
import { download } from '../../image/agent/member/release/download.ts';
import { mirrorsOf } from '../../orchestrator/mirrors/choose.ts';
import { servedName } from '../../protocol/release-target.ts';
import { MIRROR } from '../../protocol/service/mirror.ts';
import { makeUki, writeManifest } from '../bootserver/http/fixture.ts';

const NODES = Number(process.env.NODES ?? 30);
const SIZE = Number(process.env.SIZE ?? 32) * 1_000_000;
/** As the default of a rollout grows: one node, a tenth, the rest. */
const WAVES = [1, Math.ceil(NODES / 10)];
const PORT = 8080;
const CONF = join(import.meta.dirname, '../../image/services/image-mirror/files/etc/nginx.conf');

const [mode, folder = ''] = process.argv.slice(2);
if (mode === 'serve') await serve(folder);
else if (mode === 'inside') await compare();
else
  await mustInherit('unshare', [
    '--net',
    process.execPath,
    ...process.execArgv,
    fileURLToPath(import.meta.url),
    'inside',
  ]);

async function serve(images: string): Promise<void> {
  const { startHttp } = await import('../../bootserver/http/server.ts');
  const { createLogger } = await import('../../base/log.ts');
  await startHttp({
    listen: { host: '127.0.0.1', port: PORT },
    ...{ images, loaders: images, script: async () => '' },
    log: createLogger('bench', 'warn'),
  });
}

type Row = { megabytes: number; seconds: number };

async function compare(): Promise<void> {
  const work = await mkdtemp(join(tmpdir(), 'bootwave-bench-mirror-'));
  const children: ChildProcess[] = [];
  try {
    await mustRun('ip', ['link', 'set', 'lo', 'up']);
    await mustRun('nft', ['add', 'table', 'ip', 'bench']);
    await mustRun('nft', ['add', 'chain', 'ip', 'bench', 'out', '{ type filter hook output priority 0; }']);
    await mustRun('nft', ['add', 'rule', 'ip', 'bench', 'out', 'tcp', 'sport', `${PORT}`, 'counter']);
    const images = join(work, 'images');
    await mkdir(images);
    const content = Buffer.alloc(SIZE);
    randomFillSync(content);
    const file = join(images, 'bootwave_1.0.efi');
    const uki = makeUki([{ name: '.linux', content }]);
    await writeFile(file, uki);
    const wanted = { version: '1.0', sha256: await digestOfFile(file), size: uki.length };
    await writeManifest(images, '1.0', wanted.size, wanted.sha256);
    children.push(
      spawn(process.execPath, [fileURLToPath(import.meta.url), 'serve', images], { stdio: 'inherit' }),
    );
    await listens('127.0.0.1', PORT);
    const run = (mirrors: 'none' | 'all' | 'liars') => update(work, wanted, mirrors, children);
    const alone = await run('none');
    const shared = await run('all');
    const lied = await run('liars');
    const line = (name: string, { megabytes }: Row) =>
      console.log(
        `bench ${name} ${megabytes.toFixed(0)} MB vs boot-server-alone ${alone.megabytes.toFixed(0)} MB ratio ${(megabytes / alone.megabytes).toFixed(2)}`,
      );
    line('mirror', shared);
    line('mirror-half-of-them-lie', lied);
    const seconds = [alone, shared, lied].map((row) => row.seconds.toFixed(1)).join(', ');
    console.log(
      `${NODES} nodes, ${(wanted.size / 1e6).toFixed(0)} MB each; ${seconds} s; load ${loadavg()[0]!.toFixed(1)}`,
    );
  } finally {
    for (const child of children) {
      child.kill('SIGTERM');
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    }
    await rm(work, { recursive: true });
  }
}

/** One site, all of its nodes, wave after wave; a node that is done serves what it has. */
async function update(
  work: string,
  wanted: { version: string; sha256: string; size: number },
  mirrors: 'none' | 'all' | 'liars',
  children: ChildProcess[],
): Promise<Row> {
  const nodes = Array.from({ length: NODES }, (_, n) => ({
    node: `tpm-${n}`,
    address: `127.9.${n >> 8}.${n & 255}`,
  }));
  const known: Parameters<typeof mirrorsOf>[2][number][] = [];
  const before = await leftServer();
  const started = performance.now();
  const serving: ChildProcess[] = [];
  const name = servedName(wanted.version, wanted.sha256);
  for (let at = 0, wave = 0; at < NODES; wave += 1) {
    const some = nodes.slice(at, at + (WAVES[wave] ?? NODES));
    at += some.length;
    const fresh = await Promise.all(
      some.map(async ({ node, address }) => {
        const folder = join(work, `${mirrors}-${node}`);
        await mkdir(join(folder, 'images'), { recursive: true });
        const got = await download({
          ...{ folder, wanted, signal: new AbortController().signal },
          url: `http://127.0.0.1:${PORT}/images/${name}`,
          mirrors: {
            addresses: mirrorsOf(node, wanted.sha256, known),
            tell: (text) => process.env.TELL && console.log(text),
          },
        });
        const isLast = at === NODES;
        if (mirrors === 'none' || isLast) return null;
        const shown = join(folder, 'images', name);
        if (mirrors === 'liars' && Number(node.slice(4)) % 2 === 1) await lie(got, shown);
        else await link(got, shown);
        return { node, address, folder };
      }),
    );
    for (const one of fresh)
      if (one !== null) {
        serving.push(await startMirror(one.folder, one.address));
        children.push(serving.at(-1)!);
        known.push({ ...one, shared: new Set([wanted.sha256]) });
      }
    for (const { node } of some)
      if (mirrors === 'none' || at === NODES) await rm(join(work, `${mirrors}-${node}`), { recursive: true });
  }
  const seconds = (performance.now() - started) / 1000;
  const megabytes = ((await leftServer()) - before) / 1e6;
  for (const child of serving) {
    child.kill('SIGTERM');
    await once(child, 'exit');
    children.splice(children.indexOf(child), 1);
  }
  return { megabytes, seconds };
}

/** All but one byte of it. */
async function lie(file: string, shown: string): Promise<void> {
  await copyFile(file, shown);
  const bytes = await readFile(shown);
  bytes[bytes.length >> 1]! ^= 1;
  await writeFile(shown, bytes);
}

async function startMirror(folder: string, address: string): Promise<ChildProcess> {
  const conf = (await readFile(CONF, 'utf8'))
    .replaceAll('/tmp/', `${folder}/`)
    .replace('listen 6868;', `listen ${address}:${MIRROR.port};`)
    // All of these nodes ask from one address.
    .replace('limit_conn each 2;', '')
    .replace('root /srv;', `root ${folder};`);
  await writeFile(join(folder, 'nginx.conf'), `user root;\n${conf}`);
  const child = spawn('nginx', ['-e', 'stderr', '-c', join(folder, 'nginx.conf')], { stdio: 'inherit' });
  await listens(address, MIRROR.port);
  return child;
}

async function leftServer(): Promise<number> {
  const { stdout } = await mustRun('nft', ['list', 'chain', 'ip', 'bench', 'out']);
  return Number(/bytes (\d+)/.exec(stdout)?.[1]);
}

async function listens(host: string, port: number): Promise<void> {
  for (let attempt = 0; attempt < 200; attempt += 1) {
    const socket = connect(port, host);
    const open = await once(socket, 'connect').then(
      () => true,
      () => false,
    );
    socket.destroy();
    if (open) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`nothing listens at ${host}:${port}`);
}

async function mustInherit(program: string, args: string[]): Promise<void> {
  const [code] = await once(spawn(program, args, { stdio: 'inherit' }), 'exit');
  process.exitCode = code ?? 1;
}
