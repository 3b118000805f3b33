/**
 * Where Prometheus asks: plain HTTP on the loopback of this machine and nowhere else. Whoever can open a connection there
 * sees names, states and numbers; nothing can be changed.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { BootwaveError, messageOf } from '../../base/error.ts';
import type { Logger } from '../../base/log.ts';
import { openPort } from '../../base/open-port.ts';
import { Turns } from '../../base/turns.ts';
import { CONTENT_TYPE } from './format.ts';

const LOOPBACK = '127.0.0.1';
/** Of whom a browser believes that it speaks to this machine. Another name may have been made to mean it since. */
const HOSTS = /^(?:127\.0\.0\.1|localhost)(?::\d+)?$/i;
/** Connections at a time. */
const MOST = 16;
/** Milliseconds. */
const PATIENCE = 10_000;

export type MetricsDoor = {
  port: number;
  text(where: { site?: string }): Promise<Iterable<string>>;
  log: Logger;
  signal: AbortSignal;
};

/**
 * @returns `port` as bound; `done` resolves after the signal fired and all is closed
 * @throws BootwaveError `METRICS_PORT`
 */
export async function openMetricsDoor(door: MetricsDoor): Promise<{ port: number; done: Promise<void> }> {
  const { port, log, signal } = door;
  // One after the other: reading all records takes a second in a large fleet, and there is one processor for all.
  const turns = new Turns();
  const server = createServer(
    { headersTimeout: PATIENCE, requestTimeout: PATIENCE, keepAliveTimeout: PATIENCE },
    (request, response) => {
      const text = (where: { site?: string }) => turns.take(() => door.text(where));
      answer({ ...door, text }, request, response).catch((error: unknown) => {
        response.destroy();
        log.debug({ reason: messageOf(error) }, 'who asked for metrics did not wait for them');
      });
    },
  );
  server.maxConnections = MOST;
  server.setTimeout(6 * PATIENCE);
  return openPort(server, {
    port,
    host: LOOPBACK,
    signal,
    hangUp: () => server.closeAllConnections(),
    fault: { code: 'METRICS_PORT', use: 'for metrics', option: '--metrics-port' },
  });
}

async function answer(
  { text, log, signal }: MetricsDoor,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  if (response.destroyed) return;
  const refuse = (status: number, why: string) =>
    void response.writeHead(status, { 'Content-Type': 'text/plain' }).end(`${why}\n`);
  if (!HOSTS.test(request.headers.host ?? '')) return refuse(421, 'ask 127.0.0.1 or localhost');
  const url = URL.parse(request.url ?? '', 'http://localhost');
  if (url?.pathname !== '/metrics') return refuse(404, 'only /metrics is here');
  if (request.method !== 'GET' && request.method !== 'HEAD') return refuse(405, 'only GET');
  const site = url.searchParams.get('site');
  let pieces: Iterable<string>;
  try {
    pieces = await text(site === null ? {} : { site });
  } catch (error) {
    const isTheirs = error instanceof BootwaveError && error.code === 'SITE_UNKNOWN';
    if (isTheirs) return refuse(404, 'there is no such site');
    log.warn({ reason: messageOf(error) }, 'metrics were not given');
    return refuse(503, 'the records cannot be read now');
  }
  response.writeHead(200, { 'Content-Type': CONTENT_TYPE, 'Cache-Control': 'no-store' });
  if (request.method === 'HEAD') return void response.end();
  // Nobody waits for a reader that stopped reading.
  const patience = AbortSignal.any([signal, AbortSignal.timeout(6 * PATIENCE)]);
  await pipeline(Readable.from(pieces, { objectMode: true, highWaterMark: 1 }), response, {
    signal: patience,
  });
}
