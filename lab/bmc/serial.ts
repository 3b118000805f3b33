/**
 * A node's serial port as its BMC has it: a TCP port, which `ipmi_sim` connects to. QEMU lets one program at a time have the port itself,
 * so what the machine shows is read from its log, and the port is held only while something is typed.
 */
import { once } from 'node:events';
import { open } from 'node:fs/promises';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { sizeOf } from '../../base/files.ts';
import { Turns } from '../../base/turns.ts';

/** Milliseconds between two looks at the log. */
const LOOK = 100;
const CHUNK = 1 << 16;

/**
 * @param log file that QEMU writes
 * @param type fails while the node is off, or somebody else types
 * @returns a server that listens on 127.0.0.1, and its port
 */
export async function serveSerial(
  log: string,
  type: (text: string) => Promise<void>,
): Promise<{ server: Server; port: number }> {
  const server = createServer((socket) => {
    const turns = new Turns();
    socket.setEncoding('latin1');
    socket
      .on('error', () => {})
      .on('data', (text: string) => void turns.take(() => type(text)).catch(() => {}));
    follow(log, socket).catch(() => socket.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { server, port: (server.address() as AddressInfo).port };
}

/** What is written from now on. */
async function follow(log: string, socket: Socket): Promise<void> {
  let offset = await sizeOf(log);
  while (!socket.destroyed) {
    // A log that is shorter began anew.
    offset = Math.min(offset, await sizeOf(log));
    const bytes = await piece(log, offset);
    offset += bytes.length;
    if (bytes.length === 0) await sleep(LOOK);
    else if (!socket.write(bytes)) await Promise.race([once(socket, 'drain'), once(socket, 'close')]);
  }
}

async function piece(log: string, offset: number): Promise<Buffer> {
  const file = await open(log, 'r').catch(() => null);
  if (file === null) return Buffer.alloc(0);
  try {
    const buffer = Buffer.alloc(CHUNK);
    const { bytesRead } = await file.read(buffer, 0, CHUNK, offset);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}
