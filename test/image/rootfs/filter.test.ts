/** The node's own filter in the kernel of this machine, in a namespace: who gets in from the wire. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import test from 'ava';
import { mustRun, run } from '../../../base/run.ts';
import { twoWires } from '../../bootserver/sockets-netns.ts';

const FILTER = join(import.meta.dirname, '../../../image/rootfs/usr/lib/bootwave/filter.nft');
/** Tells who came: a line per TCP connection or datagram. */
const LISTENERS = `
for (const port of [22, 8080])
  require('node:net').createServer((socket) => { console.log('tcp ' + port); socket.destroy(); }).listen(port, '0.0.0.0');
const udp = require('node:dgram').createSocket('udp4');
udp.on('message', (_, { port }) => console.log('udp from ' + port));
udp.bind(5000, '0.0.0.0', () => console.log('ready'));
`;
/** A datagram from a port; what is dropped is not answered, so nothing can be waited for but the next one. */
const send = (port: number) =>
  `const s = require('node:dgram').createSocket('udp4'); s.bind(${port}, () => s.send('x', 5000, '10.92.0.1', () => s.close()));`;

test('from the wire come the answers of boot servers, and SSH from an admitted address; nothing else', async (t) => {
  t.timeout(120_000);
  const { server: node, outside } = await twoWires(t);
  const said: string[] = [];
  const exec = (space: string, ...args: string[]) => ['netns', 'exec', space, ...args];
  const listeners: ChildProcess = spawn('ip', exec(node, process.execPath, '-e', LISTENERS));
  t.teardown(async () => {
    listeners.kill('SIGKILL');
    await once(listeners, 'close');
  });
  listeners.stdout!.setEncoding('utf8').on('data', (text: string) => said.push(...text.trim().split('\n')));
  const until = async (line: string) => {
    while (!said.includes(line)) await once(listeners.stdout!, 'data');
  };
  await until('ready');
  const connects = async (port: number, seconds: number) =>
    (await run('ip', exec(outside, 'timeout', `${seconds}`, 'bash', '-c', `</dev/tcp/10.92.0.1/${port}`)))
      .code === 0;
  const sends = (port: number) => mustRun('ip', exec(outside, process.execPath, '-e', send(port)));

  t.true(await connects(8080, 60), 'without the filter everything gets in');
  await mustRun('ip', exec(node, '/usr/sbin/nft', '-f', FILTER));
  t.false(await connects(22, 3));
  t.false(await connects(8080, 3));
  await sends(4444);
  await sends(67);
  await until('udp from 67');
  t.false(said.includes('udp from 4444'), 'sent before the one that came');

  // As bootwave-admit@.service does.
  await mustRun(
    'ip',
    exec(node, '/usr/sbin/nft', 'add', 'element', 'inet', 'bootwave', 'admitted', '{ 10.92.0.2 }'),
  );
  t.true(await connects(22, 60));
  t.false(await connects(8080, 3));
  const { stdout } = await mustRun(
    'ip',
    exec(node, '/usr/sbin/nft', 'list', 'chain', 'inet', 'bootwave', 'forward'),
  );
  t.regex(stdout, /hook forward .*policy drop/);
});
