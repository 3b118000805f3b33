/** A rack that is switched on: 200 and 1,000 firmware-like clients from DHCP over TFTP to the image, against the link. */
// Server and clients are two processes with a link of 1 Gbit/s between them (a veth pair with a token bucket), in network
// namespaces of their own. A client does what PXE firmware and iPXE do: DISCOVER, REQUEST, the loader by TFTP (blksize 1468,
// windowsize 4, as EDK2), the script and the image by HTTP from its own address. The time that link and disk need is the
// bytes of all images and loaders by the rate of the link; the image is in the page cache, as it is after its first reader.
// STORM_CLIENTS, STORM_BYTES: another number of clients, bytes of the image.
import { spawn } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { mustRun, run } from '../../base/run.ts';
import { MESSAGE } from '../../bootserver/dhcp/request.ts';
import { parsePacket as parseTftp, serialisePacket as serialiseTftp } from '../../bootserver/tftp/packet.ts';
import { formatIp4, ip4Bytes, parseIp4 } from '../../formats/dhcp/ip4.ts';
import { OPTION, textBytes } from '../../formats/dhcp/options.ts';
import { type DhcpPacket, parsePacket, serialisePacket } from '../../formats/dhcp/packet.ts';
import { makeUki, writeManifest } from '../bootserver/http/fixture.ts';

/** Bytes a second. */
const LINK = 125_000_000;
const LOADER = '/usr/lib/ipxe/snponly.efi';
const SERVER = '10.64.0.1';
/** Milliseconds after which firmware asks again (RFC 2131 4.1 begins with 4 s). */
const PATIENCE = { dhcp: 4000, tftp: 2000 };
/** Milliseconds in which a rack that was switched on comes through its own tests. */
const SPREAD = 2000;
const CASES = [
  { clients: 200, bytes: 16_000_000 },
  { clients: 1000, bytes: 4_000_000 },
];

/** What downloads are thrown into. */
const SINK = Buffer.alloc(256 * 1024);

const self = fileURLToPath(import.meta.url);
const [, , part, ...rest] = process.argv;
if (part === 'serve') await serve(rest[0] ?? '');
else if (part === 'clients') await storm(Number(rest[0]), Number(rest[1]));
else await main();

async function main(): Promise<void> {
  const own = process.env.STORM_CLIENTS;
  const cases =
    own === undefined
      ? CASES
      : [{ clients: Number(own), bytes: Number(process.env.STORM_BYTES ?? 4_000_000) }];
  for (const one of cases) await measure(one);
}

async function measure({ clients, bytes }: { clients: number; bytes: number }): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'bootwave-bench-storm-'));
  const [near, far] = [`bwstorm${process.pid}s`, `bwstorm${process.pid}c`];
  const ip = (...args: string[]) => mustRun('ip', args);
  const inside = (namespace: string, ...args: string[]) =>
    spawn(
      'ip',
      ['netns', 'exec', namespace, process.execPath, '--disable-warning=ExperimentalWarning', self, ...args],
      {
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    );
  const children = [];
  try {
    await mkdir(join(folder, 'images'));
    await mkdir(join(folder, 'loaders'));
    await copyFile(LOADER, join(folder, 'loaders', 'snponly.efi'));
    const uki = makeUki([{ name: '.linux', content: randomFillSync(Buffer.alloc(bytes)) }]);
    await writeFile(join(folder, 'images', 'bootwave_1.0.efi'), uki);
    await writeManifest(join(folder, 'images'), '1.0', uki.length, '0'.repeat(64));
    for (const name of [near, far]) await ip('netns', 'add', name);
    await ip('-n', near, 'link', 'add', 'boot0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', far);
    for (const [name, link] of [
      [near, 'boot0'],
      [far, 'eth0'],
    ] as const)
      await ip('-n', name, 'link', 'set', link, 'up');
    await ip('-n', near, 'addr', 'add', `${SERVER}/16`, 'dev', 'boot0');
    // Every address of the network is the clients' own: they get theirs by DHCP from it.
    await ip('-n', far, 'addr', 'add', '10.64.255.254/16', 'dev', 'eth0');
    await ip('-n', far, 'route', 'add', 'default', 'dev', 'eth0');
    await ip('-n', far, 'route', 'add', 'local', '10.64.128.0/17', 'dev', 'eth0');
    await ip(
      'netns',
      'exec',
      near,
      'tc',
      'qdisc',
      'add',
      'dev',
      'boot0',
      'root',
      'tbf',
      'rate',
      '1gbit',
      'burst',
      '256kb',
      'latency',
      '50ms',
    );
    const server = inside(near, 'serve', folder);
    children.push(server);
    await once(server.stdout, 'data');
    const crowd = inside(far, 'clients', String(clients), String(uki.length));
    children.push(crowd);
    let text = '';
    for await (const piece of crowd.stdout) text += String(piece);
    const got = JSON.parse(text) as { seconds: number; again: number; slowest: number };
    const loader = (await readFile(LOADER)).length;
    const needed = (clients * (uki.length + loader)) / LINK;
    const fields = (await readFile(`/proc/${server.pid}/stat`, 'utf8').catch(() => ''))
      .split(' ')
      .map(Number);
    const processor = ((fields[13] ?? 0) + (fields[14] ?? 0)) / 100;
    console.log(
      `bench storm ${clients} clients, image of ${(bytes / 1e6).toFixed(0)} MB: all have it after ${got.seconds.toFixed(1)} s, ` +
        `the link needs ${needed.toFixed(1)} s, ratio ${(got.seconds / needed).toFixed(2)}; ` +
        `${got.again} requests were repeated, the server took ${processor.toFixed(1)} s of processor`,
    );
  } finally {
    for (const child of children) child.kill('SIGKILL');
    for (const name of [near, far]) await run('ip', ['netns', 'del', name]);
    await rm(folder, { recursive: true });
  }
}

async function serve(folder: string): Promise<void> {
  const { createLogger } = await import('../../base/log.ts');
  const { openSockets } = await import('../../bootserver/sockets.ts');
  const { startDhcp } = await import('../../bootserver/dhcp/start.ts');
  const { startHttp } = await import('../../bootserver/http/server.ts');
  const { startTftp } = await import('../../bootserver/tftp/server.ts');
  const log = createLogger('storm', 'error');
  const signal = new AbortController().signal;
  const sockets = await openSockets({ interface: 'boot0', httpPort: 7080, httpsPort: 7443 });
  const loaders = join(folder, 'loaders');
  await startHttp({
    listen: sockets.http,
    images: join(folder, 'images'),
    loaders,
    script: async () => '#!ipxe\n',
    log,
  });
  startTftp({
    socket: sockets.tftp,
    openTransfer: sockets.transferSocket,
    segmenting: true,
    mtu: sockets.mtu,
    folder: loaders,
    log,
  });
  await startDhcp({
    sockets,
    directory: {
      bootIntent: async () => ({ kind: 'image', version: '1.0', reason: 'new hardware' }),
      sawBoot: async () => {},
    },
    leases: join(folder, 'leases'),
    log,
    signal,
    config: {
      ...{ serverIp: SERVER, proxy: false, httpPort: 7080, httpsPort: 7443 },
      subnets: [
        {
          network: SERVER,
          netmask: '255.255.0.0',
          pools: [{ from: '10.64.128.1', to: '10.64.191.254' }],
        },
      ],
    },
  });
  console.log('ready');
}

type Heard = (packet: DhcpPacket) => void;

async function storm(clients: number, bytes: number): Promise<void> {
  const dhcp = createSocket({ type: 'udp4', recvBufferSize: 8 << 20 });
  const heard = new Map<number, Heard>();
  dhcp.on('message', (message) => {
    const packet = parsePacket(message);
    heard.get(packet.xid)?.(packet);
  });
  dhcp.bind(68);
  await once(dhcp, 'listening');
  dhcp.setBroadcast(true);
  const count = { again: 0 };
  const started = performance.now();
  const times = await Promise.all(
    Array.from({ length: clients }, async (_, n) => {
      await new Promise((resolve) => setTimeout(resolve, (n * SPREAD) / clients));
      const begun = performance.now();
      const address = await lease(dhcp, heard, n, count);
      await loader(address, count);
      await fetchAll(address, `/m/${macOf(n)}/boot.ipxe`, 0);
      await fetchAll(address, `/m/${macOf(n)}/bootwave_1.0.efi`, bytes);
      return performance.now() - begun;
    }),
  );
  const seconds = (performance.now() - started) / 1000;
  console.log(JSON.stringify({ seconds, again: count.again, slowest: Math.max(...times) / 1000 }));
  process.exit();
}

function macOf(n: number): string {
  return `52-54-00-00-${(n >> 8).toString(16).padStart(2, '0')}-${(n & 255).toString(16).padStart(2, '0')}`;
}

async function lease(
  socket: Socket,
  heard: Map<number, Heard>,
  n: number,
  count: { again: number },
): Promise<string> {
  const ask = (type: number, more: [number, Uint8Array][]) =>
    new Promise<DhcpPacket>((resolve) => {
      const packet: DhcpPacket = {
        ...{
          op: 1,
          htype: 1,
          hops: 0,
          xid: 0x1000 + n,
          secs: 0,
          flags: 0x8000,
          ciaddr: 0,
          yiaddr: 0,
          siaddr: 0,
          giaddr: 0,
        },
        ...{ chaddr: Buffer.from(macOf(n).replaceAll('-', ''), 'hex'), sname: '', file: '' },
        options: new Map<number, Uint8Array>([
          [OPTION.messageType, Uint8Array.of(type)],
          [OPTION.vendorClass, textBytes('PXEClient:Arch:00007:UNDI:003016')],
          [OPTION.architecture, Uint8Array.of(0, 7)],
          ...more,
        ]),
      };
      const send = () => socket.send(serialisePacket(packet), 67, '255.255.255.255');
      const timer = setInterval(() => {
        count.again += 1;
        send();
      }, PATIENCE.dhcp);
      heard.set(packet.xid, (answer) => {
        const wanted = type === MESSAGE.discover ? 2 : 5;
        if (answer.options.get(OPTION.messageType)?.[0] !== wanted) return;
        clearInterval(timer);
        resolve(answer);
      });
      send();
    });
  const offer = await ask(MESSAGE.discover, []);
  await ask(MESSAGE.request, [
    [OPTION.requestedAddress, ip4Bytes(offer.yiaddr)],
    [OPTION.serverId, ip4Bytes(parseIp4(SERVER))],
  ]);
  heard.delete(0x1000 + n);
  return formatIp4(offer.yiaddr);
}

/** By windows of four, as RFC 7440 says. */
async function loader(address: string, count: { again: number }): Promise<void> {
  const socket = createSocket({ type: 'udp4', recvBufferSize: 1 << 18 });
  socket.bind(0, address);
  await once(socket, 'listening');
  await new Promise<void>((resolve, reject) => {
    let server: number | undefined;
    let want = 1;
    let since = 0;
    const ask = () =>
      socket.send(
        serialiseTftp({
          ...{ op: 'read', file: 'snponly.efi', mode: 'octet' },
          options: [
            ['blksize', '1468'],
            ['windowsize', '4'],
          ],
        }),
        69,
        SERVER,
      );
    const ack = (block: number) => {
      since = 0;
      socket.send(serialiseTftp({ op: 'ack', block: block & 0xffff }), server, SERVER);
    };
    const timer = setInterval(() => {
      count.again += 1;
      if (server === undefined) ask();
      else ack(want - 1);
    }, PATIENCE.tftp);
    socket.on('message', (message, from) => {
      const packet = parseTftp(message);
      server ??= from.port;
      timer.refresh();
      if (packet?.op === 'error') reject(new Error(packet.message));
      if (packet?.op === 'oack') ack(0);
      if (packet?.op !== 'data' || packet.block !== (want & 0xffff)) return;
      want += 1;
      since += 1;
      const last = packet.data.length < 1468;
      if (last || since === 4) ack(want - 1);
      if (!last) return;
      clearInterval(timer);
      socket.close();
      resolve();
    });
    ask();
  });
}

/** @param bytes that the body has at least */
async function fetchAll(address: string, path: string, bytes: number): Promise<void> {
  let got = 0;
  const callback = (length: number) => {
    got += length;
    return true;
  };
  const socket = connect({
    host: SERVER,
    port: 7080,
    localAddress: address,
    onread: { buffer: SINK, callback },
  });
  socket.write(`GET ${path} HTTP/1.1\r\nHost: ${SERVER}\r\nConnection: close\r\n\r\n`);
  await once(socket, 'close');
  if (got <= bytes) throw new Error(`${path}: ${got} bytes of ${bytes}`);
}
