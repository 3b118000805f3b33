/** Who may connect, and what clients that do not speak HTTP are told. */
import { type Server, STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { limitConnections } from '../connections.ts';
import type { HttpLimits } from './limits.ts';

/** @param over resolves when all requests that the connection has sent are answered */
export function guardConnections(
  server: Server,
  limits: HttpLimits,
  over: (socket: Socket) => Promise<void>,
): void {
  limitConnections(server, limits);
  server.maxHeadersCount = 64;
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => {
    const status = STATUS_OF[error.code ?? ''] ?? (error.code?.startsWith('HPE_') ? 400 : undefined);
    if (!socket.writable || status === undefined) socket.destroy();
    // Valid requests that came before it are answered first.
    else void over(socket).then(() => refuse(socket, status));
  });
}

function refuse(socket: Socket, status: number): void {
  if (!socket.writable) return;
  socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
  // `end` alone waits for the other side, which may never close.
  setTimeout(() => socket.destroy(), LAST_WORDS).unref();
}

/** Milliseconds for the refusal to leave before the connection is cut. */
const LAST_WORDS = 1000;

const STATUS_OF: Record<string, number> = {
  HPE_HEADER_OVERFLOW: 431,
  ERR_HTTP_REQUEST_TIMEOUT: 408,
  HPE_INVALID_VERSION: 505,
};
