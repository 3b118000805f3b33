/**
 * HTTPS to a BMC whose certificate a person has pinned: BMCs sign their own. Node's `fetch` cannot look at a certificate before
 * it sends, so the connection is made and judged first, and the credentials go over that one alone. No redirect is followed.
 */
import { type IncomingMessage, request } from 'node:http';
import { connect, type TLSSocket } from 'node:tls';
import { jsonIn } from '../../base/json.ts';
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
  return /^[0-9a-f]{64}$/.test(hex) ? hex : null;
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

/**
 * One question over a connection of its own. Within `LIMITS.question`, whatever the other side does.
 * @throws BootwaveError `BMC_SILENT`, `BMC_PIN`, `BMC_LOGIN`, `BMC_REDIRECT`, `BMC_ANSWER`
 */
export async function askPinned(
  access: Access,
  question: Question,
  signal: AbortSignal,
  limits: Limits = LIMITS,
): Promise<Reply> {
  const { host, pin, user, password } = access;
  const stop = limited(signal, limits.question);
  const { socket, pin: shown } = await opened(access, stop).catch((error) => {
    signal.throwIfAborted();
    throw error;
  });
  try {
    if (shown !== pin)
      throw bmcError(
        'BMC_PIN',
        `what answers at ${host} shows another certificate than the one that was pinned: ${fingerprintText(shown)}`,
        "nothing was sent to it; if the BMC got a new certificate, compare it on its own page, then 'bootwave node bmc set'",
      );
    const basic = Buffer.from(`${user}:${password}`).toString('base64');
    const answer = await exchange(socket, host, question, `Basic ${basic}`, stop, limits.answer);
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
  } finally {
    socket.destroy();
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

function exchange(
  socket: TLSSocket,
  host: string,
  { method, path, body, etag }: Question,
  authorization: string,
  signal: AbortSignal,
  most: number,
): Promise<Reply> {
  const text = body === undefined ? undefined : JSON.stringify(body);
  return new Promise((resolve, reject) => {
    // Without an agent: any agent would open a connection of its own, to whoever answers there.
    const asked = request({
      ...{ method, path, signal, host, createConnection: () => socket },
      headers: {
        ...{ host, authorization, accept: 'application/json', 'odata-version': '4.0', connection: 'close' },
        ...(text === undefined
          ? {}
          : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }),
        ...(etag == null ? {} : { 'if-match': etag }),
      },
    });
    asked.once('error', (error) => reject(brokeOff(host, error)));
    asked.once('response', (response) => {
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
    asked.end(text);
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
