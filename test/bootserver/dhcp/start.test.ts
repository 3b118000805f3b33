import { spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { run } from '../../../base/run.ts';
import { parseIp4 } from '../../../formats/dhcp/ip4.ts';
import { OPTION } from '../../../formats/dhcp/options.ts';
import { type DhcpPacket, parsePacket, serialisePacket } from '../../../formats/dhcp/packet.ts';
import { udhcpcIn } from '../../support/udhcpc.ts';
import { CAPTURES } from '../boot/captures.ts';
import type { ClientOrder } from '../sockets-client.ts';
import { Inside, type TwoWires, twoWires } from '../sockets-netns.ts';
import type { ServerOrders } from '../sockets-server.ts';
import { type MessageParts, message, text } from './messages.ts';

const subnets = [
  {
    network: '10.91.0.0',
    netmask: '255.255.255.0',
    pools: [{ from: '10.91.0.10', to: '10.91.0.99' }],
    router: '10.91.0.1',
  },
];

async function serve(
  t: ExecutionContext,
  wires: TwoWires,
  more: Partial<ServerOrders> = {},
  proxy = false,
  shell = 'true',
) {
  const folder = await mkdtemp(join(tmpdir(), 'bootwave-dhcp-'));
  t.teardown(() => rm(folder, { recursive: true }));
  const orders: ServerOrders = {
    sockets: { interface: 'boot0', httpPort: 80, httpsPort: 443 },
    dhcp: { proxy, httpPort: 80, httpsPort: 8443, subnets },
    leases: join(folder, 'leases'),
    ...more,
  };
  const start = async () => {
    const server = new Inside(t, wires.server, './sockets-server.ts', [JSON.stringify(orders)], shell);
    t.like(await server.next(), { ready: '10.91.0.1' });
    return server;
  };
  return { server: await start(), start };
}

/** A machine on the boot network that has no address yet. */
class Machine {
  readonly #client: Inside;
  constructor(t: ExecutionContext, wires: TwoWires) {
    this.#client = new Inside(t, wires.inside, './sockets-client.ts', []);
  }
  async order(order: ClientOrder): Promise<Record<string, unknown>> {
    this.#client.say(order);
    return (await this.#client.next()) as Record<string, unknown>;
  }
  async ask(packet: DhcpPacket | Uint8Array, port = 67, from = 68): Promise<DhcpPacket> {
    const bytes = packet instanceof Uint8Array ? packet : serialisePacket(packet);
    const { answer } = await this.order({
      send: Buffer.from(bytes).toString('hex'),
      to: '255.255.255.255',
      port,
      from,
    });
    return parsePacket(Buffer.from(String(answer), 'hex'));
  }
  async shout(bytes: Uint8Array, port = 67): Promise<void> {
    await this.order({
      ...{ send: Buffer.from(bytes).toString('hex'), to: '255.255.255.255' },
      ...{ port, from: 68, silent: true },
    });
  }
}

const pxe = (n: number, parts: MessageParts = {}) =>
  message('discover', n, { vendorClass: 'PXEClient', ...parts });

function udhcpc(namespace: string, ...more: string[]): string {
  const { stderr } = spawnSync('ip', udhcpcIn(namespace, ...more), { encoding: 'utf8' });
  return /lease of (\S+) obtained/.exec(stderr)?.[1] ?? stderr;
}

test('busybox udhcpc binds, and after kill -9 of the server everyone keeps the address that was promised', async (t) => {
  const wires = await twoWires(t);
  const { server, start } = await serve(t, wires);
  const as = (id: string) => udhcpc(wires.inside, '-x', `0x3d:${id}`);
  t.is(as('0a01'), '10.91.0.10');
  t.is(as('0a02'), '10.91.0.11');
  await server.end('SIGKILL');
  const again = await start();
  t.is(as('0a02'), '10.91.0.11');
  t.is(as('0a03'), '10.91.0.12');
  t.is(as('0a01'), '10.91.0.10');
  await again.end('SIGTERM');
  t.is(again.child.exitCode, 0, 'ends by itself when it is told to');
});

test('real firmware, replayed: boot file and events; rubbish in between kills nothing', async (t) => {
  const wires = await twoWires(t);
  const { server } = await serve(t, wires);
  const machine = new Machine(t, wires);
  for (const bytes of [
    new Uint8Array(0),
    new Uint8Array(1),
    new Uint8Array(600),
    Uint8Array.from({ length: 1400 }, (_, n) => n),
  ]) {
    await machine.shout(bytes);
    await machine.shout(bytes, 4011);
  }
  await machine.shout(CAPTURES.get('edk2-http-discover')!.subarray(0, 260));
  const http = await machine.ask(CAPTURES.get('edk2-http-discover')!);
  t.is(text(http, OPTION.bootFile), 'http://10.91.0.1:80/m/52-54-00-00-00-01/bootwave_1.0.efi');
  const events = [];
  while (events.length < 1) {
    const line = (await server.next()) as { event?: string };
    if (line.event !== undefined) events.push(line);
  }
  t.deepEqual(events, [
    {
      event: 'dhcp-offered',
      mac: '52:54:00:00:00:01',
      arch: 'uefi-x64-http',
      detail: text(http, OPTION.bootFile),
    },
  ] as object[]);
  t.is(
    (await machine.ask(CAPTURES.get('ipxe-bios-discover')!)).file,
    'http://10.91.0.1:80/m/52-54-00-00-00-07/boot.ipxe',
  );
});

test('one machine whose fate is undecided does not keep the others waiting', async (t) => {
  const wires = await twoWires(t);
  await serve(t, wires, { undecided: ['52:54:00:00:00:01'] });
  const machine = new Machine(t, wires);
  for (let n = 0; n < 20; n++) await machine.shout(serialisePacket(pxe(1)));
  const offer = await machine.ask(pxe(2));
  t.is(offer.chaddr[5], 2);
  t.is(offer.file, 'undionly.kpxe');
});

test('no ACK leaves before its lease is on disk', async (t) => {
  const wires = await twoWires(t);
  const full = 'mount -t tmpfs -o size=16k none /mnt && { head -c 99999 /dev/zero >/mnt/filler 2>&-; true; }';
  await serve(t, wires, { leases: '/mnt/leases' }, false, full);
  const machine = new Machine(t, wires);
  const offer = await machine.ask(message('discover', 1));
  t.not(offer.yiaddr, 0);
  const taken = message('request', 1, { requested: '10.91.0.10', serverId: '10.91.0.1' });
  for (let n = 0; n < 5; n++) await machine.shout(serialisePacket({ ...taken, xid: n }));
  t.is((await machine.ask(message('discover', 2))).chaddr[5], 2, 'the first answer is to the next machine');
});

test('an address that another machine uses is found out before it is offered, and rests', async (t) => {
  const wires = await twoWires(t);
  const { server, start } = await serve(t, wires, { probeWait: 4000 });
  await run('ip', ['-n', wires.inside, 'addr', 'add', '10.91.0.10/24', 'dev', 'eth0']);
  await run('ip', ['-n', wires.inside, 'addr', 'add', '10.91.0.11/24', 'dev', 'eth0']);
  const machine = new Machine(t, wires);
  t.is((await machine.ask(message('discover', 1))).yiaddr, parseIp4('10.91.0.12'));
  // Durably: the squatter is silent now, and the server is another process.
  await run('ip', ['-n', wires.inside, 'addr', 'flush', 'dev', 'eth0']);
  await run('ip', ['-n', wires.inside, 'route', 'add', 'default', 'dev', 'eth0']);
  await server.end('SIGKILL');
  await start();
  t.is((await machine.ask(message('discover', 2))).yiaddr, parseIp4('10.91.0.12'));
});

test('a machine that still answers for its own address is no conflict', async (t) => {
  const wires = await twoWires(t);
  await serve(t, wires, { probeWait: 4000 });
  await run('ip', ['-n', wires.inside, 'addr', 'add', '10.91.0.10/24', 'dev', 'eth0']);
  await run('ip', ['-n', wires.inside, 'link', 'set', 'eth0', 'address', '52:54:00:00:00:01']);
  const offer = await new Machine(t, wires).ask(message('discover', 1));
  t.is(offer.yiaddr, parseIp4('10.91.0.10'));
});

test('no packet starts a process: sixty iPXE clients at once', async (t) => {
  const wires = await twoWires(t);
  const { server } = await serve(t, wires);
  const machine = new Machine(t, wires);
  const pids = async () =>
    (await run('ip', ['netns', 'pids', wires.server])).stdout.trim().split('\n').sort();
  const before = await pids();
  const capture = parsePacket(CAPTURES.get('ipxe-bios-discover')!);
  const chaddr = (n: number) => Uint8Array.of(0x52, 0x54, 0, 1, 0, n);
  for (let n = 1; n <= 60; n++)
    await machine.shout(serialisePacket({ ...capture, xid: n, chaddr: chaddr(n) }));
  t.deepEqual(await pids(), before);
  let offered = 0;
  while (offered < 60)
    if (((await server.next()) as { event?: string }).event === 'dhcp-offered') offered += 1;
  t.deepEqual(await pids(), before);
});

test('refused: an address from a full server, without a boot part', async (t) => {
  const wires = await twoWires(t);
  await serve(t, wires, { intents: { '52:54:00:00:00:01': { kind: 'refuse', reason: 'not expected' } } });
  const offer = await new Machine(t, wires).ask(pxe(1));
  t.not(offer.yiaddr, 0);
  t.is(offer.file, '');
  t.is(offer.siaddr, 0);
  t.false(offer.options.has(OPTION.bootFile));
});

test('a flood of new clients: every offer is another address, none is lost', async (t) => {
  const wires = await twoWires(t);
  await serve(t, wires);
  const machine = new Machine(t, wires);
  const seen = new Set<number>();
  for (let n = 0; n < 60; n++) seen.add((await machine.ask(message('discover', n))).yiaddr);
  t.is(seen.size, 60);
});

test('the npm package dhcp, as a client, understands the offer', async (t) => {
  const wires = await twoWires(t);
  await serve(t, wires);
  const program = `
    const client = require('dhcp').createClient({ mac: '52-54-00-00-00-05', features: ['router'] });
    client.on('message', (offer) => { console.log(JSON.stringify(offer)); process.exit(); });
    client.listen(68, '0.0.0.0', () => client.sendDiscover());`;
  const { stdout, stderr } = await run('ip', [
    'netns',
    'exec',
    wires.inside,
    process.execPath,
    '-e',
    program,
  ]);
  const offer = JSON.parse(stdout || JSON.stringify(stderr)) as {
    yiaddr: string;
    options: Record<number, unknown>;
  };
  t.is(offer.yiaddr, '10.91.0.10');
  t.is(offer.options[54], '10.91.0.1');
  t.is(offer.options[1], '255.255.255.0');
  t.is(offer.options[51], 43200);
});

for (const proxy of [false, true]) {
  test(`the agent finds its boot server ${proxy ? 'beside another DHCP server' : 'where we give the addresses'}`, async (t) => {
    const wires = await twoWires(t);
    await serve(t, wires, {}, proxy);
    await run('ip', ['-n', wires.inside, 'addr', 'add', '10.91.0.77/24', 'dev', 'eth0']);
    const module = new URL('../../../image/agent/member/inform.ts', import.meta.url).href;
    const program = `
      const { askFrom } = await import(${JSON.stringify(module)});
      const local = { address: '10.91.0.77', mac: '52:54:00:00:00:01' };
      const port = (port) => [{ address: '255.255.255.255', port }];
      console.log(JSON.stringify([await askFrom(local, 7, 5000, port(67)), await askFrom(local, 8, 5000, port(4011))]));`;
    const { stdout, stderr } = await run('ip', [
      ...['netns', 'exec', wires.inside, process.execPath, '--input-type=module', '-e', program],
    ]);
    t.deepEqual(JSON.parse(stdout || JSON.stringify(stderr)), [
      ['https://10.91.0.1:8443'],
      ['https://10.91.0.1:8443'],
    ]);
  });
}

test('a proxy gives no address to anyone, and the boot file on port 4011 to the port that asked', async (t) => {
  const wires = await twoWires(t);
  await serve(t, wires, {}, true);
  const machine = new Machine(t, wires);
  await machine.shout(serialisePacket(message('discover', 1)));
  await machine.shout(serialisePacket(message('discover', 1, { vendorClass: 'bootwave' })));
  await machine.shout(CAPTURES.get('edk2-pxe-request')!);
  // None of the three was answered: this is the first answer that arrives.
  const offer = await machine.ask(CAPTURES.get('edk2-pxe-discover')!);
  t.is(offer.yiaddr, 0);
  t.is(text(offer, OPTION.vendorClass), 'PXEClient');
  await run('ip', ['-n', wires.inside, 'addr', 'add', '10.91.0.77/24', 'dev', 'eth0']);
  const send = Buffer.from(CAPTURES.get('edk2-pxe-4011')!).toString('hex');
  const { answer, from, port } = await machine.order({ send, to: '10.91.0.1', port: 4011, from: 1234 });
  t.deepEqual([from, port], ['10.91.0.1', 4011]);
  t.is(parsePacket(Buffer.from(String(answer), 'hex')).file, 'ipxe.efi');
});
