/**
 * HTTPS to a BMC whose certificate a person has pinned: BMCs sign their own. Node's `fetch` cannot look at a certificate before
 * it sends, so each connection is judged before it is used. No redirect is followed.
 */

import { Agent, type AgentOptions, type ClientRequestArgs, type IncomingMessage, request } from 'node:http';
import type { Duplex } from 'node:stream';
import { connect, type TLSSocket } from 'node:tls';
import { BootwaveError } from '../../base/error.ts';
import { jsonIn } from '../../base/json.ts';
import { SHA256_HEX } from '../../formats/digest.ts';
import { type Access, badAnswer, badLogin, bmcError, brokeOff, LIMITS, silent } from './bmc.ts';

type Limits = { question: number; answer: number };
export type Reply = { status: number; etag: string | null; body: unknown };
export type Question = {
  method: 'GET' | 'POST' | 'PATCH';
  path: string;
  body?: object;
  etag?: string | null;
};

/** SHA-256 of a certificate as people compare it: `AB:CD:...` and other spellings. @returns null: it is none */
export function fingerprintIn(text: string): string | null {
  const hex = text
    .trim()
    .toLowerCase()
    .replace(/^sha-?256[:=\s]*/, '')
    .replaceAll(/[:\s]/g, '');
  return SHA256_HEX.test(hex) ? hex : null;
}

export const fingerprintText = (hex: string): string => hex.toUpperCase().replace(/..(?=.)/g, '$&:');

/** What the certificate of whoever answers there is; nothing is sent to it. @throws BootwaveError `BMC_SILENT` */
export async function shownPin(
  { host, port }: Pick<Access, 'host' | 'port'>,
  signal: AbortSignal,
): Promise<string> {
  const { socket, pin } = await opened({ host, port }, limited(signal, LIMITS.question));
  socket.destroy();
  return pin;
}

/** Milliseconds after which nobody keeps a BMC's connection that is not used: it has few. */
const IDLE = 3_000;

/** A connection to one BMC whose certificate was judged before anything is sent over it. Questions take turns on it. */
export class Line extends Agent {
  readonly #access: Access;

  constructor(access: Access, options: AgentOptions = { keepAlive: true, maxSockets: 1, timeout: IDLE }) {
    super(options);
    this.#access = access;
  }

  override createConnection(
    { until }: ClientRequestArgs & { until?: AbortSignal },
    done: (error: Error | null, socket: Duplex) => void,
  ): undefined {
    judged(this.#access, until!).then(
      (socket) => done(null, socket),
      (error: Error) => (done as (error: Error) => void)(error),
    );
  }
}

async function judged(access: Access, signal: AbortSignal): Promise<TLSSocket> {
  const { host, pin } = access;
  const { socket, pin: shown } = await opened(access, signal);
  if (shown === pin) return socket;
  socket.destroy();
  throw bmcError(
    'BMC_PIN',
    `what answers at ${host} shows another certificate than the one that was pinned: ${fingerprintText(shown)}`,
    "nothing was sent to it; if the BMC got a new certificate, compare it on its own page, then 'bootwave node bmc set'",
  );
}

/**
 * One question. Within `LIMITS.question`, whatever the other side does.
 * @param line for questions that may be asked twice: a BMC may end a connection in the moment in which it is used again. Left out: over
 * a connection of its own
 * @throws BootwaveError `BMC_SILENT`, `BMC_PIN`, `BMC_LOGIN`, `BMC_REDIRECT`, `BMC_ANSWER`
 */
export async function askPinned(
  access: Access,
  question: Question,
  signal: AbortSignal,
  limits: Limits = LIMITS,
  line?: Line,
): Promise<Reply> {
  const { host, user, password } = access;
  const stop = limited(signal, limits.question);
  const basic = Buffer.from(`${user}:${password}`).toString('base64');
  const asked = {
    ...{ host, question, authorization: `Basic ${basic}`, signal: stop, most: limits.answer },
    agent: line ?? new Line(access, {}),
  };
  try {
    const answer = await exchange(asked, line !== undefined);
    if (answer.status === 401 || answer.status === 403) throw badLogin(host);
    if (answer.status >= 300 && answer.status < 400)
      throw bmcError(
        'BMC_REDIRECT',
        `the BMC at ${host} sends us elsewhere (${answer.status}); credentials are sent nowhere but there`,
        'give the address of the BMC itself',
      );
    return answer;
  } catch (error) {
    signal.throwIfAborted();
    throw stop.aborted ? silent(host, error) : error;
  }
}

const limited = (signal: AbortSignal, most: number) => AbortSignal.any([signal, AbortSignal.timeout(most)]);

function opened(
  { host, port }: Pick<Access, 'host' | 'port'>,
  signal: AbortSignal,
): Promise<{ socket: TLSSocket; pin: string }> {
  return new Promise((resolve, reject) => {
    // Neither a name nor an issuer is checked: the certificate itself is, by the caller, before anything is sent.
    const socket = connect({ host, port, rejectUnauthorized: false, minVersion: 'TLSv1.2' });
    const give = (cause?: unknown) => {
      socket.destroy();
      reject(silent(host, cause));
    };
    const onAbort = () => give(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    socket.once('error', give).once('close', () => give());
    socket.once('secureConnect', () => {
      signal.removeEventListener('abort', onAbort);
      socket
        .removeAllListeners('close')
        .off('error', give)
        .on('error', () => {});
      const pin = socket.getPeerCertificate().fingerprint256?.replaceAll(':', '').toLowerCase();
      if (pin === undefined) give();
      else resolve({ socket, pin });
    });
    if (signal.aborted) onAbort();
  });
}

type Asked = {
  host: string;
  question: Question;
  authorization: string;
  agent: Line;
  signal: AbortSignal;
  most: number;
};

function exchange(asked: Asked, again: boolean): Promise<Reply> {
  const { host, question, authorization, agent, signal, most } = asked;
  const { method, path, body, etag } = question;
  const text = body === undefined ? undefined : JSON.stringify(body);
  return new Promise((resolve, reject) => {
    const options = {
      ...{ method, path, signal, host, agent },
      // Its own signal is kept from an agent.
      until: signal,
      headers: {
        ...{ host, authorization, accept: 'application/json', 'odata-version': '4.0' },
        ...(text === undefined
          ? {}
          : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }),
        ...(etag == null ? {} : { 'if-match': etag }),
      },
    };
    const sent = request(options);
    sent.once('error', (error) => {
      if (again && sent.reusedSocket && !signal.aborted) exchange(asked, false).then(resolve, reject);
      else reject(error instanceof BootwaveError ? error : brokeOff(host, error));
    });
    sent.once('response', (response) => {
      readWhole(response, host, most).then(
        (whole) =>
          resolve({
            status: response.statusCode ?? 0,
            etag: response.headers.etag ?? null,
            body: jsonIn(whole),
          }),
        reject,
      );
    });
    sent.end(text);
  });
}

/** @param most bytes: an answer without an end is cut off. */
async function readWhole(response: IncomingMessage, host: string, most: number): Promise<string> {
  const pieces: Buffer[] = [];
  let size = 0;
  try {
    for await (const piece of response) {
      size += (piece as Buffer).length;
      if (size > most) throw badAnswer(host, `answers without an end (over ${most} bytes)`);
      pieces.push(piece as Buffer);
    }
  } catch (error) {
    response.destroy();
    if ((error as { code?: string }).code === 'BMC_ANSWER') throw error;
    throw brokeOff(host, error);
  }
  return Buffer.concat(pieces).toString('utf8');
}
