import { appendFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { serveSerial } from '../../../lab/bmc/serial.ts';

test('what is written from now on comes, a log that begins anew too; what is typed goes in order, and may fail', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'bw-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const log = join(folder, 'console.log');
  await writeFile(log, 'long before');
  const typed: string[] = [];
  const { server, port } = await serveSerial(log, async (text) => {
    if (text.includes('!')) throw new Error('the node is off');
    typed.push(text);
  });
  let seen = '';
  const socket = connect(port, '127.0.0.1').on('data', (bytes: Buffer) => {
    seen += bytes.toString();
  });
  t.teardown(() => {
    socket.destroy();
    server.close();
  });
  const sees = async (text: string) => {
    while (!seen.includes(text)) await sleep(10);
  };
  await new Promise((resolve) => socket.once('connect', resolve));
  while (seen === '') {
    await appendFile(log, 'more. ');
    await sleep(20);
  }
  t.false(seen.includes('before'));
  await writeFile(log, '');
  await sleep(250);
  await appendFile(log, 'anew');
  await sees('anew');
  socket.write('a');
  while (typed.length < 1) await sleep(5);
  socket.write('!');
  await sleep(50);
  socket.write('b');
  while (typed.length < 2) await sleep(5);
  t.deepEqual(typed, ['a', 'b']);
});
