/**
 * Plain HTTP for firmware, iPXE and image updates. Nothing here is secret and nothing is trusted because it came from
 * here: what it serves is signed, and the firmware checks.
 *
 * On node:http and not fastify: there are a few GET routes without bodies, schemas or plugins, and what matters is
 * below fastify's level: reused buffers, write callbacks (the only way to know that an image has left), connection
 * limits.
 */
import { createServer } from 'node:http';
import type { ListenOptions } from 'node:net';
import { messageOf } from '../../base/error.ts';
import type { Logger } from '../../base/log.ts';
import type { BootEvent } from '../directory.ts';
import { QuietLog } from '../quiet-log.ts';
import { Answerer } from './answer.ts';
import { guardConnections } from './connections.ts';
import type { Delivery } from './delivery.ts';
import { ImageStore } from './image-store.ts';
import { HTTP_LIMITS, type HttpLimits } from './limits.ts';
import type { ScriptSource } from './parts.ts';
import { Turns } from './turns.ts';

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
  bundles?: string;
  crl?: () => Buffer;
  /** Must not throw; called in the order of what happened to each machine. */
  onEvent?: (event: BootEvent) => void;
  /** See `AnswerOptions`. */
  delivery?: Pick<Delivery, 'begin'>;
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
  const log = new QuietLog(options.log);
  const answerer = new Answerer({ ...options, images, log }, limits);
  const server = createServer({
    maxHeaderSize: limits.headerBytes,
    headersTimeout: limits.requestWithin,
    requestTimeout: limits.requestWithin,
    keepAliveTimeout: limits.idle,
    connectionsCheckingInterval: Math.ceil(limits.requestWithin / 4),
    noDelay: true,
  });
  const turns = new Turns(limits, (request, response) => answerer.answer(request, response));
  turns.take(server);
  guardConnections(server, limits, (socket) => turns.over(socket));

  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.listen as ListenOptions, () => resolve());
  });
  server.on('error', (error) => options.log.error({ error: messageOf(error) }, 'http server'));

  const closed = new Promise<void>((resolve) => server.once('close', () => resolve())).then(async () => {
    await turns.drained();
    if (typeof options.images === 'string') images.close();
    log.flush();
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
