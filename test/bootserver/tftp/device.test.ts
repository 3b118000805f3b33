import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test, { type ExecutionContext } from 'ava';
import { mustRun, run } from '../../../base/run.ts';
import { parsePacket, serialisePacket } from '../../../bootserver/tftp/packet.ts';
import type { ClientOrder } from '../sockets-client.ts';
import { Inside, twoWires } from '../sockets-netns.ts';
import { LOADER } from './fixture.ts';

const hex = (packet: Parameters<typeof serialisePacket>[0]) => serialisePacket(packet).toString('hex');
const READ = hex({ op: 'read', file: 'ipxe.efi', mode: 'octet', options: [] });
const ACK = hex({ op: 'ack', block: 1 });

async function serve(t: ExecutionContext) {
  const folder = await mkdtemp(join(tmpdir(), 'bootwave-tftp-'));
  t.teardown(() => rm(folder, { recursive: true }));
  await writeFile(join(folder, 'ipxe.efi'), LOADER);
  const wires = await twoWires(t);
  const server = new Inside(t, wires.server, './tftp/serve-device.ts', ['boot0', folder]);
  t.deepEqual(await server.next(), { ready: '10.91.0.1' });
  const machine = (namespace: string) => {
    const client = new Inside(t, namespace, './sockets-client.ts', []);
    return async (order: ClientOrder) => {
      client.say(order);
      return (await client.next()) as { answer?: string; port?: number; from?: string; refused?: string };
    };
  };
  return { wires, machine };
}

const blockOf = (answer: string | undefined) => {
  const packet = parsePacket(Buffer.from(answer ?? '', 'hex'));
  return packet?.op === 'data' ? packet.block : undefined;
};

test('the port of a transfer is not there for hosts on another interface', async (t) => {
  const { wires, machine } = await serve(t);
  await mustRun('ip', ['-n', wires.inside, 'addr', 'add', '10.91.0.2/24', 'dev', 'eth0']);
  const inside = machine(wires.inside);
  const outside = machine(wires.outside);
  const first = await inside({ send: READ, to: '10.91.0.1', port: 69, from: 2000 });
  t.is(blockOf(first.answer), 1);
  t.is(first.from, '10.91.0.1');
  const port = first.port ?? 0;
  for (const to of ['10.91.0.1', '10.92.0.1']) {
    t.deepEqual(await outside({ send: ACK, to, port, connected: true }), { refused: 'ECONNREFUSED' }, to);
  }
  const second = await inside({ send: ACK, to: '10.91.0.1', port, from: 2000 });
  t.is(blockOf(second.answer), 2);
});

test('a request with a made-up source sends nothing out of another interface', async (t) => {
  const { wires, machine } = await serve(t);
  // The machine outside has this address too, and is where the server's routes lead.
  await mustRun('ip', ['-n', wires.inside, 'addr', 'add', '10.92.0.2/24', 'dev', 'eth0']);
  const first = await machine(wires.inside)({ send: READ, to: '10.91.0.1', port: 69, from: 2000 });
  t.is(blockOf(first.answer), 1);
});

test('windows that the kernel cuts into datagrams arrive whole, whatever the block size', async (t) => {
  const { wires } = await serve(t);
  await mustRun('ip', ['-n', wires.inside, 'addr', 'add', '10.91.0.2/24', 'dev', 'eth0']);
  const client = join(tmpdir(), `bootwave-tftp-client-${process.pid}`);
  t.teardown(() => rm(client, { force: true }));
  await mustRun('gcc', ['-o', client, fileURLToPath(new URL('../../bench/tftp-client.c', import.meta.url))]);
  const get = (block: number, window: number, seconds = 60) => {
    const args = ['10.91.0.1', 'ipxe.efi', LOADER.length, block, window, 1].map(String);
    return run('ip', [
      'netns',
      'exec',
      wires.inside,
      'env',
      'TFTP_ANY_SOURCE=1',
      'timeout',
      String(seconds),
      client,
      ...args,
    ]);
  };
  for (const [block, window] of [
    [1468, 16],
    [1468, 64],
    [512, 7],
    [8, 64],
    // No fragments on an interface that takes less, and where only the way takes less, no windows in one piece.
    [1467, 4],
    [1466, 4],
  ] as const) {
    if (block === 1467) await mustRun('ip', ['-n', wires.server, 'link', 'set', 'boot0', 'mtu', '1280']);
    if (block === 1466) {
      await mustRun('ip', ['-n', wires.server, 'link', 'set', 'boot0', 'mtu', '1500']);
      await mustRun('ip', [
        '-n',
        wires.server,
        'route',
        'add',
        '10.91.0.2/32',
        'dev',
        'boot0',
        'mtu',
        '1280',
      ]);
      // The first ends in silence; the machine asks again.
      await get(block, window, 2);
    }
    const { code, stdout, stderr } = await get(block, window);
    t.is(code, 0, `${block} ${window} ${stdout} ${stderr}`);
  }
});
