import type { Server } from 'node:net';

/**
 * How many connections all machines together, and one machine, may hold. Without a limit one machine that opens
 * connections and says nothing takes every file descriptor of the process, and with them DHCP's lease file and TFTP's
 * sockets. Call it before the server listens.
 */
export function limitConnections(
  server: Server,
  limits: { connections: number; connectionsPerAddress: number },
): void {
  server.maxConnections = limits.connections;
  const held = new Map<string, number>();
  server.on('connection', (socket) => {
    const address = socket.remoteAddress ?? '';
    const count = (held.get(address) ?? 0) + 1;
    if (count > limits.connectionsPerAddress) {
      socket.destroy();
      return;
    }
    held.set(address, count);
    socket.once('close', () => {
      const left = (held.get(address) ?? 1) - 1;
      if (left === 0) held.delete(address);
      else held.set(address, left);
    });
  });
}
