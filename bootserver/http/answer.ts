/** From a request to its last byte: route, preconditions, headers, body, and what is reported about the machine. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { BootwaveError, messageOf } from '../../base/error.ts';
import type { BootEvent, BootStep } from '../directory.ts';
import type { QuietLog } from '../quiet-log.ts';
import { BufferPool, ClientGone, sendRange } from './body.ts';
import { judge, type Verdict } from './conditions.ts';
import type { Delivery } from './delivery.ts';
import type { HttpLimits } from './limits.ts';
import type { Parts } from './parts.ts';
import { Progress } from './progress.ts';
import type { FileReply, Reply } from './route.ts';
import { find, ROUTES } from './routes.ts';

export type AnswerOptions = Parts & {
  log: QuietLog;
  onEvent?: (event: BootEvent) => void;
  /** Is told what machines that boot fetch. */
  delivery?: Pick<Delivery, 'begin'>;
};

/** Buffers kept for the next download while nobody downloads. */
const SPARE_BUFFERS = 64;

const LINES: Partial<Record<BootStep, [code: string, text: string]>> = {
  'script-sent': ['HTTP_SCRIPT_SENT', 'a boot script was sent'],
  'image-started': ['HTTP_IMAGE_STARTED', 'a machine has begun to fetch its image'],
  'image-sent': ['HTTP_IMAGE_SENT', 'an image was sent to its end'],
};

type Exchange = { request: IncomingMessage; response: ServerResponse; method: 'GET' | 'HEAD'; mac: string };

export class Answerer {
  readonly #options: AnswerOptions;
  readonly #limits: HttpLimits;
  readonly #progress = new Progress();
  readonly #pool: BufferPool;

  constructor(options: AnswerOptions, limits: HttpLimits) {
    this.#options = options;
    this.#limits = limits;
    this.#pool = new BufferPool(limits.chunk, SPARE_BUFFERS);
  }

  /** Resolves when the answer is sent or the client is gone; never rejects because of a client. */
  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    // The write that failed reports errors of a broken connection; without a listener they would end the process.
    response.on('error', () => {});
    const method = request.method ?? '';
    // A body that nobody asked for is not read, so the connection cannot be used again.
    if (
      request.headers['content-length'] !== undefined ||
      request.headers['transfer-encoding'] !== undefined
    ) {
      response.setHeader('Connection', 'close');
    }
    if (method !== 'GET' && method !== 'HEAD') {
      response.setHeader('Allow', 'GET, HEAD');
      response.setHeader('Connection', 'close');
      refuse(response, 405, { code: 'METHOD_NOT_ALLOWED', what: `${method} is not served here` });
      return finished(response);
    }
    const found = find(ROUTES, request.url ?? '', request.socket.remoteAddress ?? '');
    if (found === undefined) {
      refuse(response, 404, { code: 'NOT_FOUND', what: 'nothing is served at this path' });
      return finished(response);
    }
    const exchange: Exchange = { request, response, method, mac: found.asked.mac };
    let reply: Reply;
    try {
      reply = await found.route.serve(found.asked, this.#options);
    } catch (error) {
      this.#options.log.warn(
        'HTTP_UNANSWERED',
        whoAsks(exchange),
        `a request was not answered: ${messageOf(error)}`,
      );
      const known = error instanceof BootwaveError;
      refuse(
        response,
        known ? 503 : 500,
        known ? error.toJSON() : { code: 'UNEXPECTED', what: 'the server could not answer, see its log' },
      );
      return finished(response);
    }
    if (reply.kind === 'file') return this.#file(exchange, reply);
    if (reply.kind === 'text') return this.#text(exchange, reply);
    refuse(response, 404, { code: reply.code, what: reply.what });
    return finished(response);
  }

  async #text(exchange: Exchange, reply: Reply & { kind: 'text' }): Promise<void> {
    const { response, method } = exchange;
    response.writeHead(200, {
      'Content-Type': reply.type,
      'Content-Length': Buffer.byteLength(reply.text),
      'Cache-Control': 'no-store',
    });
    response.end(method === 'HEAD' ? '' : reply.text);
    await finished(response);
    if (reply.step !== undefined && method === 'GET' && response.writableFinished)
      this.#tell(exchange, reply.step);
  }

  async #file(exchange: Exchange, file: FileReply): Promise<void> {
    const { request, response, method } = exchange;
    const [from, to] = file.part;
    const size = to - from;
    const now = Date.now();
    try {
      const verdict = judge(method, request.headers, { etag: file.etag, modified: file.modified, size }, now);
      headers(response, file, verdict, size, now);
      if (method === 'HEAD' || (verdict.status !== 200 && verdict.status !== 206)) response.end();
      else {
        const [start, end] = verdict.status === 206 ? [verdict.start, verdict.end] : [0, size];
        await this.#body(exchange, file, from + start, from + end);
      }
      await finished(response);
    } catch (error) {
      response.destroy();
      const gone = error instanceof ClientGone;
      this.#options.log[gone ? 'info' : 'error'](
        gone ? 'HTTP_CLIENT_GONE' : 'HTTP_READ',
        whoAsks(exchange),
        `a download ended early: ${messageOf(error)}`,
      );
    } finally {
      file.release();
    }
  }

  async #body(exchange: Exchange, file: FileReply, start: number, end: number): Promise<void> {
    const { response } = exchange;
    const { boot } = file;
    if (boot?.first === true && start === file.part[0]) {
      if (end === file.part[1]) this.#progress.restart(boot.who);
      this.#tell(exchange, 'image-started', boot.version);
    }
    const download =
      boot && this.#options.delivery?.begin(boot.goal.reduce((sum, [from, to]) => sum + to - from, 0));
    let sent = 0;
    try {
      const range = { fd: file.fd, start, end };
      await sendRange(response, range, this.#pool, this.#limits.chunkWithin, (bytes) => {
        download?.sent(bytes - sent);
        sent = bytes;
      });
      response.end();
    } finally {
      download?.end();
      if (boot !== undefined && this.#progress.add(boot.who, [start, start + sent], boot.goal)) {
        this.#tell(exchange, 'image-sent', boot.version);
      }
    }
  }

  #tell({ request, mac }: Exchange, step: BootStep, detail?: string): void {
    const [code, text] = LINES[step] ?? ['HTTP_STEP', step];
    this.#options.log.info(code, { from: request.socket.remoteAddress, mac, detail }, text);
    try {
      this.#options.onEvent?.({ mac, step, at: Date.now(), ...(detail === undefined ? {} : { detail }) });
    } catch (error) {
      this.#options.log.error('HTTP_LISTENER', {}, messageOf(error));
    }
  }
}

function whoAsks({ request, mac }: Exchange) {
  return { from: request.socket.remoteAddress, path: request.url, ...(mac === '' ? {} : { mac }) };
}

function headers(
  response: ServerResponse,
  file: FileReply,
  verdict: Verdict,
  size: number,
  now: number,
): void {
  response.setHeader('ETag', file.etag);
  // Never later than the message itself (RFC 9110 section 8.8.2.1).
  response.setHeader('Last-Modified', new Date(Math.min(file.modified, now)).toUTCString());
  response.setHeader('Accept-Ranges', 'bytes');
  response.setHeader('Content-Type', file.type);
  response.statusCode = verdict.status;
  if (verdict.status === 200) response.setHeader('Content-Length', size);
  else if (verdict.status === 206) {
    response.setHeader('Content-Length', verdict.end - verdict.start);
    response.setHeader('Content-Range', `bytes ${verdict.start}-${verdict.end - 1}/${size}`);
  } else {
    response.removeHeader('Content-Type');
    // 304 has no body, and its Content-Length would be that of the 200 (RFC 9110 section 8.6).
    if (verdict.status === 304) response.setHeader('Content-Length', size);
    else response.setHeader('Content-Length', 0);
    if (verdict.status === 416) response.setHeader('Content-Range', `bytes */${size}`);
  }
}

function refuse(response: ServerResponse, status: number, error: { code: string; what: string }): void {
  const text = JSON.stringify({ error });
  response.writeHead(status, {
    'Content-Type': 'application/json',
    'Content-Length': Buffer.byteLength(text),
    'Cache-Control': 'no-store',
  });
  response.end(response.req.method === 'HEAD' ? '' : text);
}

/** The answer is in the kernel's hands, or the connection is closed. */
function finished(response: ServerResponse): Promise<void> {
  if (response.writableFinished || response.destroyed || response.closed) return Promise.resolve();
  return new Promise((resolve) => {
    response.once('finish', resolve);
    response.once('close', resolve);
  });
}
