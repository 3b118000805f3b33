/**
 * Where systems outside say that a node is not as it should be: HTTPS, with the certificate of this server. Who has no key of a source
 * changes nothing.
 */
import type { KeyObject } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import { buffer } from 'node:stream/consumers';
import { BootwaveError, messageOf } from '../../base/error.ts';
import type { Logger } from '../../base/log.ts';
import { openPort } from '../../base/open-port.ts';
import { WEBHOOK_LIMITS, type WebhookHeaders } from '../../protocol/webhook.ts';
import type { Reports } from './webhooks.ts';

/** Connections at a time, of everybody, and of one host. */
const MOST = 64;
const MOST_OF_ONE = 8;
/** Milliseconds: for a request, its headers or what follows it, and between two looks who is late. */
const PATIENCE = 10_000;
const LOOK = 1_000;

const STATUS: Readonly<Record<string, number>> = {
  WEBHOOK_SIGNATURE: 401,
  WEBHOOK_TIME: 401,
  WEBHOOK_BODY: 400,
  WEBHOOK_LARGE: 413,
  WEBHOOK_RATE: 429,
  WEBHOOK_SAYS: 403,
  WEBHOOK_NODE: 404,
  WEBHOOK_PATH: 404,
  WEBHOOK_LATER: 503,
};

type Shown = { key: KeyObject; chainPem: string };

export type WebhookDoor = {
  port: number;
  identity: { current(): Shown; onChange(show: (shown: Shown) => void): void };
  reports: Pick<Reports, 'take'>;
  log: Logger;
  signal: AbortSignal;
};

/**
 * Opens it on all addresses of this machine.
 * @returns `port` as bound; `done` resolves after the signal fired and all is closed
 * @throws BootwaveError `WEBHOOKS_PORT`
 */
export async function openWebhookDoor(door: WebhookDoor): Promise<{ port: number; done: Promise<void> }> {
  const { port, identity, signal } = door;
  const context = ({ key, chainPem }: Shown) => ({
    ...{ key: key.export({ type: 'pkcs8', format: 'pem' }), cert: chainPem },
    minVersion: 'TLSv1.2' as const,
  });
  const limits = {
    ...{ headersTimeout: PATIENCE, requestTimeout: PATIENCE, keepAliveTimeout: PATIENCE },
    connectionsCheckingInterval: LOOK,
  };
  const server = createServer(
    { ...context(identity.current()), ...limits, handshakeTimeout: PATIENCE },
    (request, response) => void answer(door, request, response),
  );
  server.maxConnections = MOST;
  server.setTimeout(3 * PATIENCE);
  identity.onChange((shown) => server.setSecureContext(context(shown)));
  return openPort(server, {
    port,
    signal,
    mostOfOne: MOST_OF_ONE,
    hangUp: () => server.closeAllConnections(),
    fault: { code: 'WEBHOOKS_PORT', use: 'for webhooks', option: '--webhooks-port' },
  });
}

/** Never rejects. */
async function answer(door: WebhookDoor, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { reports, log } = door;
  response.on('error', () => {});
  const say = (status: number, told: object) => {
    if (response.destroyed) return;
    // What was not read of the body is read no more.
    const headers = {
      'content-type': 'application/json',
      ...(request.complete ? {} : { connection: 'close' }),
    };
    response.writeHead(status, headers).end(JSON.stringify(told));
  };
  try {
    const name = /^\/webhooks\/([a-z0-9][a-z0-9-]{0,62})$/.exec(request.url ?? '')?.[1];
    if (name === undefined || request.method !== 'POST')
      throw wrong('WEBHOOK_PATH', 'only POST /webhooks/NAME is here');
    const { fresh } = await reports.take(name, request.headers as WebhookHeaders, await bodyOf(request));
    if (fresh) log.info({ webhook: name }, 'a system outside has said something about a node');
    say(200, { taken: fresh });
  } catch (error) {
    const status = error instanceof BootwaveError ? STATUS[error.code] : undefined;
    if (status === undefined)
      log.warn({ reason: messageOf(error) }, 'what a system outside said was not taken');
    say(
      status ?? 503,
      status === undefined
        ? { code: 'WEBHOOK_LATER', what: 'it cannot be taken now: send it again' }
        : (error as BootwaveError),
    );
  }
}

/** @throws BootwaveError `WEBHOOK_LARGE`; an error where it was not all sent */
async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const tooLarge = wrong('WEBHOOK_LARGE', `it has more than ${WEBHOOK_LIMITS.body} bytes`);
  if (Number(request.headers['content-length'] ?? 0) > WEBHOOK_LIMITS.body) throw tooLarge;
  let size = 0;
  request.on('data', (piece: Buffer) => {
    size += piece.length;
    if (size > WEBHOOK_LIMITS.body) request.destroy(tooLarge);
  });
  return buffer(request);
}

const wrong = (code: string, what: string) =>
  new BootwaveError({ code, what, unchanged: 'nothing was changed' });
