/**
 * Plain HTTP for firmware, iPXE and image updates. Nothing here is secret and nothing is trusted for having come from
 * here: what it serves is signed, and the firmware checks.
 *
 * On node:http and not fastify: there are a few GET routes without bodies, schemas or plugins, and what matters is below
 * fastify's level: reused buffers, write callbacks (the only way to know that an image has left), connection limits.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { ListenOptions, Socket } from 'node:net';
import { messageOf } from '../../base/error.ts';
import type { Logger } from '../../base/log.ts';
import type { BootEvent } from '../directory.ts';
import { Answerer } from './answer.ts';
import { guardConnections } from './connections.ts';
import { ImageStore } from './image-store.ts';
import { HTTP_LIMITS, type HttpLimits } from './limits.ts';
import type { ScriptSource } from './parts.ts';

export type HttpOptions = {
  /** What `server.listen` takes: a descriptor that already listens, a handle of `openSockets`, or host and port. */
  listen: { fd: number } | { host: string; port: number } | { _handle: ListenOptions };
  /** The images folder, or the store that others use too. */
  images: string | ImageStore;
  /** The loaders folder. */
  loaders: string;
  script: ScriptSource;
  /** See `Parts`. */
  metadata?: string;
  crl?: () => Buffer;
  /** Must not throw; called in the order of what happened to each machine. */
  onEvent?: (event: BootEvent) => void;
  log: Logger;
  limits?: Partial<HttpLimits>;
  signal?: AbortSignal;
};

export type HttpServer = {
  /** 0 on a socket that has no port. */
  readonly port: number;
  readonly images: ImageStore;
  /** How many clients are connected. */
  connections(): Promise<number>;
  /** Cuts every connection. Idempotent. */
  stop(): Promise<void>;
  /** Resolves when it has stopped, by `stop` or by the signal. */
  readonly closed: Promise<void>;
};

/** @throws the system's error when the address cannot be listened on */
export async function startHttp(options: HttpOptions): Promise<HttpServer> {
  const limits = { ...HTTP_LIMITS, ...options.limits };
  const images =
    typeof options.images === 'string' ? new ImageStore(options.images, options.log) : options.images;
  const answerer = new Answerer({ ...options, images }, limits);
  const server = createServer({
    maxHeaderSize: limits.headerBytes,
    headersTimeout: limits.requestWithin,
    requestTimeout: limits.requestWithin,
    keepAliveTimeout: limits.idle,
    connectionsCheckingInterval: Math.ceil(limits.requestWithin / 4),
    noDelay: true,
  });
  guardConnections(server, limits);
  inTurn(server, limits.waiting, (request, response) => answerer.answer(request, response));

  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.listen as ListenOptions, () => resolve());
  });
  server.on('error', (error) => options.log.error({ error: messageOf(error) }, 'http server'));

  const closed = new Promise<void>((resolve) => server.once('close', () => resolve())).then(() => {
    if (typeof options.images === 'string') images.close();
  });
  const stop = () => {
    if (server.listening) server.close();
    server.closeAllConnections();
    return closed;
  };
  if (options.signal?.aborted === true) void stop();
  else options.signal?.addEventListener('abort', () => void stop(), { once: true });
  const address = server.address();
  const connections = () =>
    new Promise<number>((resolve, reject) => {
      server.getConnections((error, count) => (error === null ? resolve(count) : reject(error)));
    });
  const port = typeof address === 'object' ? (address?.port ?? 0) : 0;
  return { port, images, connections, stop, closed };
}

/**
 * Answers the requests of one connection one after the other. Node would start them all at once, and each would hold
 * buffers and a file while it waits for its turn on the wire.
 */
function inTurn(
  server: Server,
  waiting: number,
  answer: (request: IncomingMessage, response: ServerResponse) => Promise<void>,
): void {
  const turns = new WeakMap<Socket, { last: Promise<void>; length: number }>();
  server.on('request', (request, response) => {
    const { socket } = request;
    const turn = turns.get(socket) ?? { last: Promise.resolve(), length: 0 };
    turns.set(socket, turn);
    if (turn.length > waiting) {
      socket.destroy();
      return;
    }
    turn.length += 1;
    turn.last = turn.last
      .then(() => answer(request, response))
      .catch(() => {
        socket.destroy();
      })
      .finally(() => {
        turn.length -= 1;
      });
  });
}
