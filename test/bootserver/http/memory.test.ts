import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { type AddressInfo, connect, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { publishHole } from './fixture.ts';

const MB = 1024 * 1024;
const SIZE = 104 * MB;
const CLIENTS = 20;

async function memoryOf(pid: number, field: 'VmHWM' | 'VmRSS'): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]) * 1024;
}

/** @returns the bytes that came, headers included, until the server closed the connection */
async function download(port: number): Promise<number> {
  const socket = connect(port, '127.0.0.1');
  let bytes = 0;
  socket.on('data', (data: Buffer) => {
    bytes += data.length;
  });
  socket.write('GET /m/52-54-00-00-00-01/bootwave_1.efi HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
  await once(socket, 'close');
  return bytes;
}

test('twenty downloads of a large image cost less memory than the image has', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'bootwave-memory-'));
  t.teardown(() => rm(folder, { recursive: true }));
  await publishHole(folder, '1', SIZE);
  const listening: Server & { _handle?: { fd: number } } = createServer().listen(0, '127.0.0.1');
  await once(listening, 'listening');
  const { port } = listening.address() as AddressInfo;
  const child = spawn(
    process.execPath,
    [fileURLToPath(new URL('./serve-child.ts', import.meta.url)), folder],
    {
      stdio: ['ignore', 'inherit', 'inherit', listening._handle?.fd ?? 'ignore'],
    },
  );
  t.teardown(async () => {
    child.kill('SIGKILL');
    await once(child, 'exit');
  });
  // The child's copy of the socket goes on listening; ours must not take its connections.
  listening.close();
  const warm = await fetch(`http://127.0.0.1:${port}/m/52-54-00-00-00-01/1/linux`);
  t.is(warm.status, 200);
  await warm.arrayBuffer();

  const before = await memoryOf(child.pid ?? 0, 'VmRSS');
  const sizes = await Promise.all(Array.from({ length: CLIENTS }, () => download(port)));
  for (const size of sizes) t.true(size > SIZE);
  const growth = (await memoryOf(child.pid ?? 0, 'VmHWM')) - before;
  t.log(`grew by ${(growth / MB).toFixed(1)} MB at most`);
  t.true(growth < SIZE, `grew by ${growth} bytes`);
});
