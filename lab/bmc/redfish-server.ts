import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import { exists } from '../../base/files.ts';
import { jsonIn } from '../../base/json.ts';
import { mustRun } from '../../base/run.ts';
import type { Board } from './board.ts';
import { redfishService } from './redfish.ts';

export type RedfishOptions = {
  host: string;
  port: number;
  key: Buffer;
  cert: Buffer;
  user: string;
  password: string;
  /** Port of its serial console by SSH; absent: it offers none. */
  console?: number | undefined;
};

/** @returns a server that listens */
export async function serveRedfish(board: Board, options: RedfishOptions): Promise<Server> {
  const service = redfishService(board, options);
  const server = createServer({ key: options.key, cert: options.cert }, (request, response) => {
    reply(service, request, response).catch(() => response.destroy());
  });
  server.listen(options.port, options.host);
  await once(server, 'listening');
  return server;
}

async function reply(
  service: ReturnType<typeof redfishService>,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  let text = '';
  for await (const piece of request.setEncoding('utf8')) text += piece as string;
  const { method = 'GET', url: path = '/', headers } = request;
  const {
    status,
    headers: more = {},
    body,
  } = await service.answer({ method, path, headers, body: jsonIn(text) });
  response.writeHead(status, { 'odata-version': '4.0', 'content-type': 'application/json', ...more });
  response.end(body === undefined ? undefined : JSON.stringify(body));
}

/** A key and a certificate that it signed itself, as BMCs are delivered with them; those that are there stay. */
export async function selfSigned(key: string, certificate: string): Promise<void> {
  if (await exists(certificate)) return;
  await mustRun('openssl', [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '3650'],
    ...['-subj', '/CN=bmc', '-keyout', key, '-out', certificate],
  ]);
}
