/**
 * A machine for the tests in namespaces. Each line on standard input is one thing to do, each line on standard output
 * is what came of it.
 */
import { createSocket, type Socket } from 'node:dgram';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';

export type ClientOrder =
  /** Sends a datagram (hex) and waits for the answer to `expect` xid, or for an ICMP refusal when connected. */
  | { send: string; to: string; port: number; from?: number; connected?: boolean; silent?: boolean }
  | { tcp: string; port: number };

const sockets = new Map<string, Promise<Socket>>();
const waiters = new Map<Socket, (line: object) => void>();

function opened(port: number, to: string): Promise<Socket> {
  const type = to.includes(':') ? 'udp6' : 'udp4';
  const known = sockets.get(`${type} ${port}`);
  if (known !== undefined) return known;
  const socket = createSocket(type);
  socket.on('message', (bytes, from) => {
    waiters.get(socket)?.({ answer: bytes.toString('hex'), from: from.address, port: from.port });
    waiters.delete(socket);
  });
  const bound = new Promise<Socket>((resolve) => {
    socket.bind(port, () => {
      if (type === 'udp4') socket.setBroadcast(true);
      resolve(socket);
    });
  });
  if (port !== 0) sockets.set(`${type} ${port}`, bound);
  return bound;
}

async function act(order: ClientOrder): Promise<object> {
  if ('tcp' in order) {
    return new Promise((resolve) => {
      let said = '';
      connect(order.port, order.tcp)
        .on('data', (bytes) => {
          said += String(bytes);
        })
        .on('end', () => resolve({ said }))
        .on('error', (error) => resolve({ refused: (error as NodeJS.ErrnoException).code }));
    });
  }
  const socket = await opened(order.from ?? 0, order.to);
  const bytes = Buffer.from(order.send, 'hex');
  return new Promise((resolve) => {
    if (order.connected === true) {
      socket.on('error', (error) => resolve({ refused: (error as NodeJS.ErrnoException).code }));
      socket.connect(order.port, order.to, () => socket.send(bytes));
      socket.on('message', () => resolve({ answer: 'yes' }));
      return;
    }
    if (order.silent !== true) {
      waiters.set(socket, resolve);
      // Only so that a broken rule fails instead of hanging.
      setTimeout(() => resolve({ nothing: 'came within 30 s' }), 30_000).unref();
    }
    socket.send(bytes, order.port, order.to, (error) => {
      if (error !== null) resolve({ failed: error.message });
      else if (order.silent === true) resolve({ sent: true });
    });
  });
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(await act(JSON.parse(line) as ClientOrder))}\n`);
}
process.exit(0);
