import { readFile } from 'node:fs/promises';
import test from 'ava';
import { mustRun, run } from '../../base/run.ts';
import { inodesOf } from '../../bootserver/sockets-owner.ts';
import { serialisePacket } from '../../formats/dhcp/packet.ts';
import { message } from './dhcp/messages.ts';
import type { ClientOrder } from './sockets-client.ts';
import { Inside, twoWires } from './sockets-netns.ts';
import type { ServerOrders } from './sockets-server.ts';

const orders = (more: Partial<ServerOrders> = {}): string =>
  JSON.stringify({
    sockets: { interface: 'boot0', httpPort: 80, httpsPort: 443 },
    leases: '/nonexistent',
    ...more,
  } satisfies ServerOrders);
const SERVER = './sockets-server.ts';

test('what arrives at another interface is never answered, on any port', async (t) => {
  const wires = await twoWires(t);
  const server = new Inside(t, wires.server, SERVER, [orders()]);
  t.deepEqual(await server.next(), { ready: '10.91.0.1', netmask: '255.255.255.0', tcp: 2 });

  const discover = serialisePacket(message('discover', 1)).toString('hex');
  const outside = new Inside(t, wires.outside, './sockets-client.ts', []);
  const ask = async (order: ClientOrder) => {
    outside.say(order);
    return outside.next();
  };
  // Both of the server's addresses, asked from the wrong wire: the kernel itself says that nobody is there.
  for (const to of ['10.92.0.1', '10.91.0.1']) {
    for (const port of [67, 4011, 69]) {
      t.deepEqual(
        await ask({ send: discover, to, port, connected: true }),
        { refused: 'ECONNREFUSED' },
        `${to}:${port}`,
      );
    }
    for (const port of [80, 443])
      t.deepEqual(await ask({ tcp: to, port }), { refused: 'ECONNREFUSED' }, `${to}:${port}`);
  }
  for (const port of [67, 4011, 69]) {
    await ask({ send: discover, to: '255.255.255.255', port, from: 68, silent: true });
    await ask({ send: discover, to: '10.92.0.255', port, from: 68, silent: true });
  }

  // The same from the right wire; its packets arrive after those above, and are all that the server ever sees.
  await run('ip', ['-n', wires.inside, 'addr', 'add', '10.91.0.2/24', 'dev', 'eth0']);
  const inside = new Inside(t, wires.inside, './sockets-client.ts', []);
  for (const port of [67, 4011])
    inside.say({ send: discover, to: '255.255.255.255', port, from: 68, silent: true });
  inside.say({ send: 'abcd', to: '10.91.0.1', port: 69 });
  inside.say({ tcp: '10.91.0.1', port: 80 });
  inside.say({ tcp: '10.91.0.1', port: 443 });
  t.deepEqual(
    [await inside.next(), await inside.next(), await inside.next(), await inside.next(), await inside.next()],
    [
      { sent: true },
      { sent: true },
      { answer: 'abcd', from: '10.91.0.1', port: 69 },
      { said: 'http' },
      { said: 'https' },
    ],
  );
  const reached = [];
  for (let n = 0; n < 5; n++) reached.push(await server.next());
  t.deepEqual(
    reached,
    ['dhcp', 'pxe', 'tftp', 'http', 'https'].map((name) => ({ reached: name, from: '10.91.0.2' })),
  );
});

test('a second server on the same interface is told who has the port; one on the other interface runs', async (t) => {
  const wires = await twoWires(t);
  const first = new Inside(t, wires.server, SERVER, [orders()]);
  await first.next();
  const second = new Inside(t, wires.server, SERVER, [orders()]);
  const refusal = (await second.next()) as { code: string; what: string };
  t.is(refusal.code, 'PORT_IN_USE');
  t.regex(refusal.what, /^UDP port 67 \(dhcp\) on boot0 is in use by node \(pid \d+\)$/);
  const other = new Inside(t, wires.server, SERVER, [
    orders({ sockets: { interface: 'other0', httpPort: 80, httpsPort: 443 } }),
  ]);
  t.like(await other.next(), { ready: '10.92.0.1' });
});

test('all or nothing: a port taken at the end leaves the first ones free, and restarts are not blocked', async (t) => {
  const wires = await twoWires(t);
  const same = orders({ sockets: { interface: 'boot0', httpPort: 80, httpsPort: 80 } });
  t.like(await new Inside(t, wires.server, SERVER, [same]).next(), { code: 'PORT_IN_USE' });
  const squatter = new Inside(t, wires.server, './sockets-client.ts', []);
  squatter.say({ send: '00', to: '127.0.0.1', port: 9, from: 69, silent: true });
  await squatter.next();
  for (let n = 0; n < 3; n++) {
    const refusal = (await new Inside(t, wires.server, SERVER, [orders()]).next()) as { what: string };
    t.regex(refusal.what, /^UDP port 69 \(tftp\) on boot0 is in use by node/);
  }
  await squatter.end('SIGKILL');
  const good = new Inside(t, wires.server, SERVER, [orders()]);
  t.like(await good.next(), { ready: '10.91.0.1' });
  await good.end('SIGKILL');
  t.like(await new Inside(t, wires.server, SERVER, [orders()]).next(), { ready: '10.91.0.1' });
});

test('no interface, no address, not root: each with its own code', async (t) => {
  const wires = await twoWires(t);
  const code = async (sockets: ServerOrders['sockets']) =>
    ((await new Inside(t, wires.server, SERVER, [orders({ sockets })]).next()) as { code: string }).code;
  const ports = { httpPort: 80, httpsPort: 443 };
  t.is(await code({ interface: 'boot9', ...ports }), 'INTERFACE_MISSING');
  t.is(await code({ interface: '-4', ...ports }), 'INTERFACE_MISSING');
  t.is(await code({ interface: 'a/../b', ...ports }), 'INTERFACE_MISSING');
  t.is(await code({ interface: 'boot0', address: '10.91.0.77', ...ports }), 'INTERFACE_NO_ADDRESS');
  await run('ip', ['-n', wires.server, 'addr', 'flush', 'dev', 'boot0']);
  t.is(await code({ interface: 'boot0', ...ports }), 'INTERFACE_NO_ADDRESS');
  // What makes root root is gone; the user stays, because the checkout may lie where only its owner can read.
  const nobody = 'exec setpriv --bounding-set -all --inh-caps -all "$0" "$@"';
  const other = orders({ sockets: { interface: 'other0', ...ports } });
  t.like(await new Inside(t, wires.server, SERVER, [other], nobody).next(), { code: 'NOT_ROOT' });
});

test('a program that the server starts inherits none of its sockets', async (t) => {
  const wires = await twoWires(t);
  const module = new URL('../../bootserver/sockets.ts', import.meta.url).href;
  const program = `
    const { openSockets } = await import(${JSON.stringify(module)});
    const { execFileSync } = await import('node:child_process');
    await openSockets({ interface: 'boot0', httpPort: 80, httpsPort: 443 });
    // A descriptor that goes while it is listed is no failure.
    const mine = execFileSync('sh', ['-c', 'ls -l /proc/' + process.pid + '/fd; true']).toString();
    const theirs = execFileSync('sh', ['-c', 'ls -l /proc/self/fd'], { stdio: ['ignore', 'pipe', 'ignore'] }).toString();
    const sockets = (text) => [...text.matchAll(/socket:.(\\d+)/g)].map((match) => match[1]);
    console.log(JSON.stringify({ mine: sockets(mine).length, theirs: sockets(theirs).filter((one) => sockets(mine).includes(one)) }));
    process.exit();`;
  const { stdout, stderr } = await run('ip', [
    ...['netns', 'exec', wires.server, process.execPath, '--input-type=module', '-e', program],
  ]);
  const seen = JSON.parse(stdout || JSON.stringify(stderr)) as { mine: number; theirs: string[] };
  t.true(seen.mine >= 5, `${stdout}${stderr}`);
  t.deepEqual(seen.theirs, []);
});

for (const [how, change, what] of [
  ['deleted', ['link', 'del', 'boot0'], 'the network interface boot0 has gone'],
  ['renamed', ['link', 'set', 'boot0', 'down', 'name', 'else0'], 'the network interface boot0 has gone'],
  [
    'without its address',
    ['addr', 'del', '10.91.0.1/24', 'dev', 'boot0'],
    'the interface boot0 no longer has the address 10.91.0.1',
  ],
] as const) {
  test(`an interface that is ${how} makes its sockets say that they are lost`, async (t) => {
    const wires = await twoWires(t);
    const server = new Inside(t, wires.server, SERVER, [orders()]);
    t.like(await server.next(), { ready: '10.91.0.1' });
    // What happens elsewhere is nobody's business, nor is an address more.
    await mustRun('ip', ['-n', wires.server, 'link', 'set', 'other0', 'down']);
    await mustRun('ip', ['-n', wires.server, 'addr', 'add', '10.91.0.3/24', 'dev', 'boot0']);
    await mustRun('ip', ['-n', wires.server, ...change]);
    t.deepEqual(await server.next(), { code: 'INTERFACE_LOST', what });
  });
}

test('an interface that is made anew with the same name and address is noticed, and can be served again', async (t) => {
  const wires = await twoWires(t);
  const server = new Inside(t, wires.server, SERVER, [orders()]);
  t.like(await server.next(), { ready: '10.91.0.1' });
  const ip = (...args: string[]) => mustRun('ip', ['-n', wires.server, ...args]);
  await ip('link', 'del', 'boot0');
  await ip('link', 'add', 'boot0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', wires.inside);
  await ip('addr', 'add', '10.91.0.1/24', 'dev', 'boot0');
  await ip('link', 'set', 'boot0', 'up');
  const lost = (await server.next()) as { code: string; what: string };
  t.is(lost.code, 'INTERFACE_LOST');
  t.regex(lost.what, /^the network interface boot0 (has gone|was made anew)$/);
});

test('a link that goes and comes back is told, and what was opened goes on hearing', async (t) => {
  const wires = await twoWires(t);
  const server = new Inside(t, wires.server, SERVER, [orders()]);
  t.like(await server.next(), { ready: '10.91.0.1' });
  await mustRun('ip', ['-n', wires.inside, 'link', 'set', 'eth0', 'down']);
  t.deepEqual(await server.next(), { carrier: false });
  await mustRun('ip', ['-n', wires.inside, 'link', 'set', 'eth0', 'up']);
  t.deepEqual(await server.next(), { carrier: true });
  await mustRun('ip', ['-n', wires.inside, 'addr', 'add', '10.91.0.2/24', 'dev', 'eth0']);
  const inside = new Inside(t, wires.inside, './sockets-client.ts', []);
  inside.say({ send: 'abcd', to: '10.91.0.1', port: 69 });
  t.deepEqual(await inside.next(), { answer: 'abcd', from: '10.91.0.1', port: 69 });
});

test('a helper that dies is a loss too', async (t) => {
  const wires = await twoWires(t);
  const server = new Inside(t, wires.server, SERVER, [orders()]);
  t.like(await server.next(), { ready: '10.91.0.1' });
  const { stdout } = await mustRun('ip', ['netns', 'pids', wires.server]);
  for (const pid of stdout.trim().split('\n')) {
    const line = await readFile(`/proc/${pid}/cmdline`, 'utf8');
    if (line.startsWith('bootwave-wire-helper boot0')) process.kill(Number(pid), 'SIGKILL');
  }
  t.deepEqual(await server.next(), {
    code: 'INTERFACE_LOST',
    what: 'the helper that watches boot0 has ended',
  });
});

test('an address is asked for on its own wire, and whoever has it is named', async (t) => {
  const wires = await twoWires(t);
  await mustRun('ip', ['-n', wires.inside, 'link', 'set', 'eth0', 'address', '52:54:00:00:00:77']);
  await mustRun('ip', ['-n', wires.inside, 'addr', 'add', '10.91.0.50/24', 'dev', 'eth0']);
  // Behind a router: only ICMP gets there.
  await mustRun('ip', ['-n', wires.inside, 'addr', 'add', '10.93.0.1/32', 'dev', 'lo']);
  await mustRun('ip', ['-n', wires.server, 'route', 'add', '10.93.0.0/24', 'via', '10.91.0.50']);
  const module = new URL('../../bootserver/sockets.ts', import.meta.url).href;
  const program = `
    const { openSockets } = await import(${JSON.stringify(module)});
    const sockets = await openSockets({ interface: 'boot0', httpPort: 80, httpsPort: 443 });
    const probe = (address, relayed, wait) => sockets.probe({ address, relayed, wait });
    const answers = await Promise.all([
      probe('10.91.0.50', false, 10000), probe('10.91.0.50', false, 10000), probe('10.91.0.51', false, 1000),
      // On another wire: neither way may find it.
      probe('10.92.0.2', false, 1000), probe('10.92.0.2', true, 1000),
    ]);
    answers.push(await probe('10.93.0.1', true, 10000));
    const transfer = await sockets.transferSocket();
    answers.push(transfer.address().address);
    transfer.close();
    await sockets.close();
    await sockets.close();
    console.log(JSON.stringify(answers.map((answer) => answer ?? null)));`;
  const { stdout, stderr } = await run('ip', [
    ...['netns', 'exec', wires.server, process.execPath, '--input-type=module', '-e', program],
  ]);
  t.deepEqual(JSON.parse(stdout || JSON.stringify(stderr)), [
    ...['52:54:00:00:00:77', '52:54:00:00:00:77', null, null, null, '', '10.91.0.1'],
  ]);
});

test('only sockets that listen on the port count as its owners', (t) => {
  const row = (local: string, state: string, inode: number) =>
    `  1: 00000000:${local} 00000000:0000 ${state} 00000000:00000000 00:00000000 00000000     0        0 ${inode} 2 0 0`;
  const table = [
    '  sl  local_address',
    row('0043', '07', 11),
    row('0044', '07', 12),
    row('0043', '01', 13),
    '',
    'x',
  ];
  t.deepEqual(inodesOf(table.join('\n'), 67), ['11']);
  t.deepEqual(inodesOf('', 67), []);
});
